"""One engine at the pace of the wall clock: requests are submitted, tokens come out when due.

The engine decides in its own seconds; this sleeps until a step is over and hands its tokens to
whoever waits. One timer per replica, no tasks. Knows no HTTP: ``server`` gives it exchanges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from load_tests.emulator.engine import Engine, EngineRequest, Generation, Step
from load_tests.emulator.ledger import Ledger
from load_tests.emulator.other_pages import Page

TIMER_SECONDS = 0.0005
"""Timers of the loop are exact to a millisecond: what is due this soon is due."""
STEPS_PER_TURN = 64
"""Steps made in one go when late, before others on the loop get their turn."""
FORGIVEN_SECONDS = 1.0
"""How far the engine may lag behind the wall clock before it lets go of the lost time."""


class Exchange(Protocol):
    """Who waits for the tokens of one request."""

    streamed: bool

    def token(self, choice: int) -> None:
        """One more token of ``choice``; only called when ``streamed``."""
        ...

    def done(self, choice: int, generation: Generation) -> None:
        """``choice`` is complete."""
        ...


class Replica:
    """Runs ``engine`` ``speed`` times as fast as real time, inside a running loop."""

    def __init__(self, engine: Engine, ledger: Ledger, page: Page, *, speed: float = 1.0) -> None:
        self.engine = engine
        self.ledger = ledger
        self.worst_lag_s = 0.0  # real seconds that a token came late because we were busy
        self.steps = 0
        self._page = page
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._epoch = self._loop.time()
        self._step: Step | None = None
        self._timer: asyncio.Handle | None = None
        self._stalled = False
        self._forgiven = False
        self._closed = False
        self._owners: dict[Generation, tuple[Exchange, int]] = {}
        self._streams: dict[Generation, tuple[Exchange, int]] = {}

    def now(self) -> float:
        """Engine seconds since the replica was made."""
        return (self._loop.time() - self._epoch) * self._speed

    def submit(self, exchange: Exchange, requests: Sequence[EngineRequest]) -> list[Generation]:
        """One choice of ``exchange`` per request. Raises DoesNotFit, and then submits none."""
        now = self.now()
        generations: list[Generation] = []
        try:
            for request in requests:
                generations.append(self.engine.submit(request, now))  # noqa: PERF401 (undone below)
        except ValueError:
            for generation in generations:
                self.engine.abort(generation)
            raise
        for choice, generation in enumerate(generations):
            self._owners[generation] = exchange, choice
            if exchange.streamed:
                self._streams[generation] = exchange, choice
        self._wake()
        return generations

    def abort(self, generations: Sequence[Generation]) -> None:
        """Nobody waits for these any more; what has finished is left alone."""
        for generation in generations:
            if self._owners.pop(generation, None) is not None:
                self._streams.pop(generation, None)
                self.engine.abort(generation)
                self.ledger.aborted()

    def stall(self, stalled: bool) -> None:
        """Make no steps until told otherwise."""
        self._stalled = stalled
        if stalled:
            self._cancel()
        else:
            self._forgiven = True  # the time it stood still is no lateness of ours
            self._wake()

    def later(self, seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        """Do ``act`` in so many real seconds."""
        return self._loop.call_later(seconds, act)

    def close(self) -> None:
        self._closed = True
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._timer is None and not self._stalled and not self._closed:
            # In the next turn: requests that arrive together share the first step.
            self._timer = self._loop.call_soon(self._run)

    def _run(self) -> None:
        """Deliver the steps that are over, plan the next, sleep until it is over."""
        self._timer = None
        now = self.now()
        for _ in range(STEPS_PER_TURN):
            step = self._step
            start = now
            if step is not None:
                if step.ends_at > now + TIMER_SECONDS * self._speed:
                    self._sleep(step)
                    return
                self._lag(now - step.ends_at)
                self._deliver(step)
                # Back to back, so that our own lateness does not add up; unless hopeless.
                start = max(step.ends_at, now - FORGIVEN_SECONDS * self._speed)
            self._step = self.engine.step(start)
            if self._step is None:
                return
        self._timer = self._loop.call_soon(self._run)

    def _sleep(self, step: Step) -> None:
        self._timer = self._loop.call_at(self._epoch + step.ends_at / self._speed, self._run)

    def _lag(self, engine_seconds: float) -> None:
        if self._forgiven:
            self._forgiven = False
            return
        self.worst_lag_s = max(self.worst_lag_s, engine_seconds / self._speed)

    def _deliver(self, step: Step) -> None:
        self.steps += 1
        self.ledger.stepped(step)
        if self._streams:
            streams = self._streams
            for generation in (*step.prefilled, *step.decoding):
                owner = streams.get(generation)
                if owner is not None:
                    owner[0].token(owner[1])
        for generation in step.finished:
            owner = self._owners.pop(generation, None)
            if owner is not None:
                self._streams.pop(generation, None)
                owner[0].done(owner[1], generation)
        if step.admitted or step.finished:
            self._page.note_adapters()
