"""``weighted-random-picker``: chance in proportion to score, without replacement.

The method is A-Res (Efraimidis and Spirakis): the largest of U^(1/score). A score of 0 comes
after every other; when all are 0, all are equally likely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints
from loadstar.config.load import at_least

TINIEST = 1e-300
"""Stands in for a drawn 0, which has no logarithm."""


@dataclass(frozen=True, slots=True)
class WeightedRandom:
    max_num_of_endpoints: Annotated[int, at_least(1)] = 1

    def pick(self, cycle: Cycle, candidates: Candidates, scores: Floats) -> Ints:
        drawn = [cycle.rng.random() for _ in range(scores.size)]
        # log(U) / score orders as U^(1/score) does, and does not underflow for small scores.
        keys = np.array(
            [
                math.log(max(u, TINIEST)) / score if score > 0 else -math.inf
                for u, score in zip(drawn, scores.tolist(), strict=True)
            ]
        )
        # Candidates without a key (score 0) among themselves: by the draw.
        order: Ints = np.lexsort((np.array(drawn), -keys))
        return order[: self.max_num_of_endpoints]
