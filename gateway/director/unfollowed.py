"""Answers that go on after their stream has ended: how long they should take, and what corrects it.

Which responses are followed to their end, what those teach of the others, and the credits the
others keep meanwhile (``datalayer.lingering``). Called by the director.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

from gateway.config.picker import ResponseMode, ResponseProcessing
from gateway.datalayer.inflight import Credit, InFlight
from gateway.datalayer.lingering import Lingering
from gateway.datalayer.state import Columns
from gateway.director.paces import Pace, Paces


def follows(processing: ResponseProcessing, rng: random.Random) -> bool:
    """Whether the next response is to be read to its end; chance has a say in ``adaptive`` only."""
    match processing.mode:
        case ResponseMode.FULL:
            return True
        case ResponseMode.HEADERS:
            return False
        case ResponseMode.ADAPTIVE:
            return rng.random() < processing.sample_share


class Unfollowed:
    """Credits of answers under way that nobody follows, and the paces they are judged by."""

    def __init__(self, inflight: InFlight) -> None:
        self._lingering = Lingering(inflight)
        self._paces = Paces()
        self._held_to: dict[int, float] = {}
        """When the report was made that each slot was last held to; only slots that linger."""

    def __len__(self) -> int:
        return len(self._lingering)

    def linger(self, credit: Credit, model: str, output_tokens: int, now: float) -> None:
        """The headers have come of an answer of ``output_tokens``, as expected; keep its credit."""
        pace = self._paces.expected(credit.endpoint.destination, model)
        self._lingering.keep(
            credit,
            first_token_seconds=pace.first_token,
            seconds=pace.duration(output_tokens),
            now=now,
        )

    def learn(self, credit: Credit, model: str, pace: Pace) -> None:
        """A followed answer has ended: so fast are the others expected to be."""
        self._paces.observe(credit.endpoint.destination, model, pace)

    def sweep(self, now: float) -> None:
        """Give back what should be over at ``now``."""
        self._lingering.sweep(now)

    def settle(
        self,
        columns: Columns,
        followed: Callable[[Mapping[int, float]], Mapping[int, int]],
        now: float,
    ) -> None:
        """Sweep, then hold the rest to what endpoints have said of themselves since last time.

        ``followed`` says how many followed answers were already under way at the time given for
        each slot. Each report counts once: it says nothing of what came after it.
        """
        self._lingering.sweep(now)
        reports: dict[int, float] = {}
        held_to: dict[int, float] = {}
        for slot in self._lingering.slots:
            at = float(columns.observed_at[slot])
            before = self._held_to.get(slot, -math.inf)
            held_to[slot] = max(at, before)
            if at > before and not math.isnan(_requests(columns, slot)):
                reports[slot] = at
        self._held_to = held_to
        if reports:
            others = followed(reports)
            for slot, at in reports.items():
                self._lingering.reported(slot, _requests(columns, slot), others.get(slot, 0), at)


def _requests(columns: Columns, slot: int) -> float:
    """Running and waiting; NaN if either is unknown."""
    return float(columns.running[slot] + columns.waiting[slot])
