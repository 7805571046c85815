"""A sleep that can be cut short. One sleeper at a time; who wakes it need not know who it is."""

from __future__ import annotations

import asyncio


class Alarm:
    """``await sleep(seconds)`` in one task, ``ring()`` from anywhere in the same loop."""

    def __init__(self) -> None:
        self._sleeper: asyncio.Future[None] | None = None

    async def sleep(self, seconds: float) -> None:
        """Until ``seconds`` have passed or somebody rings."""
        loop = asyncio.get_running_loop()
        self._sleeper = loop.create_future()
        timer = loop.call_later(max(seconds, 0.0), self.ring)
        try:
            await self._sleeper
        finally:
            timer.cancel()
            self._sleeper = None

    def ring(self) -> None:
        """Wake the sleeper; nobody asleep, nothing happens."""
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
