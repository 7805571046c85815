"""``load-aware-scorer``: an empty queue is 0.5, a queue of ``threshold`` is 0, straight between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.scheduling.belief import believed
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints, kernel
from loadstar.config.load import at_least


@dataclass(frozen=True, slots=True)
class LoadAware:
    """0.5 * (1 - min(q, T) / T) for q waiting requests; never more than 0.5."""

    threshold: Annotated[int, at_least(1)] = 128

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        return _short(
            candidates.columns.waiting,
            candidates.slots,
            candidates.confidence,
            float(self.threshold),
        )


@kernel
def _short(waiting: Floats, slots: Ints, confidence: Floats, threshold: float) -> Floats:
    scores = np.empty(slots.size)
    for i in range(slots.size):
        queue = waiting[slots[i]]
        scores[i] = queue if np.isnan(queue) else 0.5 * (1.0 - min(queue, threshold) / threshold)
    return believed(scores, confidence)
