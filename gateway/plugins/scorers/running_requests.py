"""``running-requests-size-scorer``: the fewer requests an endpoint runs, the better."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.scheduling.belief import least_is_best
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats


@dataclass(frozen=True, slots=True)
class RunningRequests:
    """(most - r) / (most - fewest) over running requests; all equal is 1."""

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        return least_is_best(candidates.columns.running, candidates.slots, candidates.confidence)
