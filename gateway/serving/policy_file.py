"""Follows the file that ``--config-file`` names, also one that kubelet swaps under a symlink."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.serving.policy_given import Origin, read_file
from gateway.serving.policy_in_force import PolicyInForce
from loadstar.aio.changes import Changes
from loadstar.config.errors import ConfigError


class PolicyFile:
    """A file as a source of configurations; without a path there is nothing to follow."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._changes = Changes([] if self._path is None else [self._path])

    async def run(self, policy: PolicyInForce) -> None:
        """Take changes as they come, until cancelled."""
        if self._path is None:
            return
        while True:
            await self.take(policy)
            await self._changes.next()

    async def take(self, policy: PolicyInForce) -> None:
        """Read the file and hand on what it says."""
        if self._path is None:
            return
        try:
            given = await asyncio.to_thread(read_file, self._path)
        except ConfigError as error:
            policy.refuse(Origin(str(self._path)), error)
        else:
            await policy.take(given)
