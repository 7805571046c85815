"""The latest of a value, for any number that wait for the next. One writer, one loop."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """``set`` replaces; nobody who is slow holds anything up, or hears of what was replaced."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.version = 0
        self.watchers = 0
        """How many are waiting, or busy with what they got."""
        self._changed = asyncio.Event()

    def set(self, value: T) -> None:
        """From now on it is ``value``."""
        self.value = value
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, version: int) -> tuple[T, int]:
        """The first value newer than ``version``, and its own version."""
        while self.value is None or self.version <= version:
            await self._changed.wait()
        return self.value, self.version
