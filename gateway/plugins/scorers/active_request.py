"""``active-request-scorer``: the fewer requests of this gateway an endpoint works on, the better.

Counts what this gateway has sent and not yet seen end, so it is never stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints, kernel
from loadstar.config.load import at_least, between


@dataclass(frozen=True, slots=True)
class ActiveRequests:
    """1 for n <= ``idle_threshold``, else (most - n) / most * ``max_busy_score``."""

    idle_threshold: Annotated[int, at_least(0)] = 0
    max_busy_score: Annotated[float, between(0, 1)] = 1.0
    """Below 1, a gap between the idle and the least busy."""
    request_timeout: str = ""
    """Deprecated and without effect, as in the reference."""
    in_flight_load_producer_name: str = ""
    """Accepted; there is one account of requests in flight, and it is always kept."""

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        return _idle(
            candidates.columns.inflight_requests,
            candidates.slots,
            self.idle_threshold,
            self.max_busy_score,
        )


@kernel
def _idle(inflight: Ints, slots: Ints, idle: int, busy_score: float) -> Floats:
    most = 0
    for i in range(slots.size):
        most = max(most, inflight[slots[i]])
    scores = np.empty(slots.size)
    for i in range(slots.size):
        count = inflight[slots[i]]
        scores[i] = 1.0 if count <= idle else (most - count) / most * busy_score
    return scores
