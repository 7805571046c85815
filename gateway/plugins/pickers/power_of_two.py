"""``power-of-two-picker``: some random candidates, the best of them first.

Not in the reference. Choosing the best of two, where all choose the best of all, keeps routers
that see the same stale scores from all running to the same endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints
from loadstar.config.load import at_least


@dataclass(frozen=True, slots=True)
class PowerOfTwo:
    max_num_of_endpoints: Annotated[int, at_least(1)] = 1
    choices: Annotated[int, at_least(1)] = 2
    """Candidates drawn; more comes closer to ``max-score-picker``."""

    def pick(self, cycle: Cycle, candidates: Candidates, scores: Floats) -> Ints:
        drawn = min(max(self.choices, self.max_num_of_endpoints), scores.size)
        sample = np.array(cycle.rng.sample(range(scores.size), drawn), np.int64)
        # Stable, so that equals stay in the random order in which they were drawn.
        order = np.argsort(-scores[sample], kind="stable")
        best: Ints = sample[order]
        return best[: self.max_num_of_endpoints]
