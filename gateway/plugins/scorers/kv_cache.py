"""``kv-cache-utilization-scorer``: the more of its KV cache is free, the better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.scheduling.belief import believed
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints, kernel


@dataclass(frozen=True, slots=True)
class KvCache:
    """1 - used, used being the share of KV blocks that requests hold."""

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        return _free(candidates.columns.kv_used, candidates.slots, candidates.confidence)


@kernel
def _free(used: Floats, slots: Ints, confidence: Floats) -> Floats:
    scores = np.empty(slots.size)
    for i in range(slots.size):
        # NaN passes through: min and max would hide that it is not known.
        free = 1.0 - used[slots[i]]
        scores[i] = free if np.isnan(free) else min(max(free, 0.0), 1.0)
    return believed(scores, confidence)
