"""``random-picker``: any candidate, all equally likely, whatever they scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints
from loadstar.config.load import at_least


@dataclass(frozen=True, slots=True)
class RandomChoice:
    max_num_of_endpoints: Annotated[int, at_least(1)] = 1

    def pick(self, cycle: Cycle, candidates: Candidates, scores: Floats) -> Ints:
        count = min(self.max_num_of_endpoints, scores.size)
        return np.array(cycle.rng.sample(range(scores.size), count), np.int64)
