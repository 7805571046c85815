"""Whether we lead, and the acting that lasts as long as that. Asked by the gate before each write.

A fence says so by our own clock: a process that was stopped and goes on finds its time over before
it writes, whatever others have done meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol


class Fence(Protocol):
    """``loadstar.kube.lease.Fence``."""

    @property
    def held(self) -> bool: ...

    def left(self, now: float) -> float: ...


class Always:
    """Where nobody is elected."""

    held = True

    def left(self, now: float) -> float:
        return float("inf")


class Leading:
    """Holds the fence of the time in which we lead."""

    def __init__(self) -> None:
        self._fence: Fence | None = None
        self._changed = asyncio.Event()

    def has(self, seconds: float, now_s: float) -> bool:
        """Whether leadership lasts for ``seconds`` yet, without another renewal."""
        fence = self._fence
        return fence is not None and fence.held and fence.left(now_s) >= seconds

    def again(self) -> None:
        """What is acted on has changed: begin anew, with the same fence."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def alone(self, act: Callable[[], Awaitable[None]]) -> None:
        """Lead without an election."""
        await self.lead(Always(), act)

    async def lead(self, fence: Fence, act: Callable[[], Awaitable[None]]) -> None:
        """Run ``act``, anew after each change, until cancelled."""
        self._fence = fence
        try:
            while True:
                changed = self._changed
                async with asyncio.TaskGroup() as tasks:
                    acting = tasks.create_task(_awaited(act), name="act")
                    await changed.wait()
                    acting.cancel()
        finally:
            self._fence = None


async def _awaited(act: Callable[[], Awaitable[None]]) -> None:
    await act()
