"""Where the policy comes from: a file that is looked at, or a ConfigMap that is followed. IO.

A mounted ConfigMap is a file too; kubelet swaps it by a symlink, some minute later. Through the API
a change is there at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoscaler.controllers.policy_in_force import PolicyInForce
from loadstar.aio.changes import Changes
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError, not_utf8
from loadstar.files import contents
from loadstar.kube.client import Follows
from loadstar.kube.objects import ObjectRef, ref
from loadstar.kube.reflector import Reflector
from loadstar.kube.resources import CONFIG_MAPS

KEY = "autoscaler.yaml"


class PolicyFile:
    """Offers a file's text at the start and at each change."""

    def __init__(self, path: Path, force: PolicyInForce, changed: Callable[[], None]) -> None:
        self._path = path
        self._force = force
        self._changed = changed
        self._changes = Changes([path])

    async def start(self) -> None:
        """Raises ConfigError if the file cannot be used: there is nothing to fall back on."""
        await self._changes.look()
        await self._offer()
        if self._force.current is None:
            raise self._force.problem or ConfigError.of(str(self._path), "is not a policy")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._changes.next()
            await self._offer()

    async def _offer(self) -> None:
        try:
            text = (await asyncio.to_thread(contents, self._path)).decode()
        except UnicodeDecodeError as error:
            self._unread(not_utf8(error))
        except OSError as error:
            self._unread(error.strerror or str(error))
        else:
            self._force.offer(text, str(self._path))
            self._changed()

    def _unread(self, why: str) -> None:
        """What is in force stays. Raises ConfigError where that is nothing."""
        self._force.problem = ConfigError.of(str(self._path), why)
        if self._force.current is None:
            raise self._force.problem


class PolicyConfigMap:
    """Offers a ConfigMap's text whenever the API server tells of another."""

    def __init__(
        self,
        kube: Follows,
        namespace: str,
        name: str,
        force: PolicyInForce,
        changed: Callable[[], None],
        *,
        key: str = KEY,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._place = (namespace, name)
        self._key = key
        self._force = force
        self._told = changed
        self.reflector: Reflector[dict[str, Any]] = Reflector(
            kube,
            CONFIG_MAPS,
            view=dict,
            changed=self._changed,
            clock=clock,
            rng=rng,
            namespace=namespace,
            fields=f"metadata.name={name}",
        )
        self.about: ObjectRef | None = None
        """The ConfigMap, for events on it."""

    async def run(self) -> None:
        """Until cancelled."""
        await self.reflector.run()

    def _changed(self) -> None:
        document = self.reflector.objects.get(self._place)
        origin = f"ConfigMap {self._place[0]}/{self._place[1]}"
        if document is None:
            self._force.problem = ConfigError.of(origin, "is not there")
        else:
            self.about = ref(document, CONFIG_MAPS)
            text = (document.get("data") or {}).get(self._key)
            if text is None:
                self._force.problem = ConfigError.of(origin, f"has no key {self._key}")
            else:
                self._force.offer(text, origin)
        self._told()
