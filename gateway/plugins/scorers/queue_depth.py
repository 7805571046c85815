"""``queue-scorer``: the shorter an endpoint's waiting queue, the better."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.scheduling.belief import least_is_best
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """(longest - q) / (longest - shortest) over waiting requests; all equal is 1."""

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        return least_is_best(candidates.columns.waiting, candidates.slots, candidates.confidence)
