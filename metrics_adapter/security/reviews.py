"""Answers of the API server kept for a while: bounded, each asked for once however many wait.

``TokenReviews`` and ``AccessReviews`` are made of it. Failures are never kept. It asks through a
function and tells time by a clock; it holds no task of its own: whoever comes first asks, the
others wait, and if the first gives up one of those asks in its place.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from loadstar.clock import Clock

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Counts:
    """What became of the questions so far."""

    hits: int = 0
    shared: int = 0
    """Waited for an answer that somebody else had asked for."""
    asked: int = 0
    failed: int = 0


class Kept(Generic[Answer]):
    """``await get(key, ask)``: from memory while fresh, else by ``ask()``, one at a time a key."""

    def __init__(
        self, clock: Clock, *, seconds: Callable[[Answer], float], most: int, at_once: int
    ) -> None:
        """Answers live for ``seconds(answer)``, ``most`` of them; ``at_once`` asked together."""
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._kept: OrderedDict[bytes, tuple[float, Answer]] = OrderedDict()
        self._flights: dict[bytes, asyncio.Future[Answer | None]] = {}
        self._places = asyncio.Semaphore(at_once)
        self.counts = Counts()

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Ask anew from now on."""
        self._kept.clear()

    def peek(self, key: bytes) -> Answer | None:
        """The answer if it is known and fresh."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        until, answer = entry
        if until <= self._clock.now():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return answer

    async def get(
        self, key: bytes, ask: Callable[[], Awaitable[Answer]], *, keep: bool = True
    ) -> Answer:
        """The answer; what ``ask`` raises is raised to everybody who waited for it."""
        while True:
            answer = self.peek(key)
            if answer is not None:
                self.counts.hits += 1
                return answer
            flight = self._flights.get(key)
            if flight is None:
                return await self._fly(key, ask, keep)
            self.counts.shared += 1
            # Shielded: one waiter that gives up must not cancel it for the others.
            answer = await asyncio.shield(flight)
            if answer is not None:
                return answer

    async def _fly(self, key: bytes, ask: Callable[[], Awaitable[Answer]], keep: bool) -> Answer:
        flight: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        self.counts.asked += 1
        try:
            async with self._places:
                answer = await ask()
        except Exception as error:
            self.counts.failed += 1
            flight.set_exception(error)
            flight.exception()  # seen: where nobody waits, the loop need not complain
            raise
        except BaseException:
            flight.set_result(None)  # given up: whoever waits asks in our place
            raise
        else:
            if keep:
                self._keep(key, answer)
            flight.set_result(answer)
            return answer
        finally:
            del self._flights[key]

    def _keep(self, key: bytes, answer: Answer) -> None:
        seconds = self._seconds(answer)
        if seconds <= 0:
            return
        self._kept[key] = (self._clock.now() + seconds, answer)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
