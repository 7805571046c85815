"""Tells whether files have changed since last asked, whichever way they were replaced.

Polling, not inotify: kubelet swaps a symlink two directories up, editors rename, NFS says nothing.
A look costs one ``stat`` per file, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from loadstar.aio.steps import next_step

LOOK_SECONDS = 1.6
"""How often is often enough for a person who has just saved a file."""

Signature: TypeAlias = tuple[int, int, int]


class Changes:
    """Remembers what ``paths`` looked like."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Reads nothing yet; the first look sees a change."""
        self._paths = tuple(paths)
        self._seen: tuple[Signature, ...] = ()

    async def next(self) -> None:
        """Return at the next change, which is then remembered."""
        while True:
            await next_step(LOOK_SECONDS)
            if await self.look():
                return

    async def look(self) -> bool:
        """Whether anything differs from the last look."""
        seen = await asyncio.to_thread(self.signatures)
        changed, self._seen = seen != self._seen, seen
        return changed

    def signatures(self) -> tuple[Signature, ...]:
        """What tells a file from what it was before; a missing one has its own."""
        return tuple(_signature(path) for path in self._paths)


def _signature(path: Path) -> Signature:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)
