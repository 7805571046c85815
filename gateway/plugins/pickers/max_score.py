"""``max-score-picker``: the highest score; chance decides among equals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints, kernel
from loadstar.config.load import at_least


@dataclass(frozen=True, slots=True)
class MaxScore:
    max_num_of_endpoints: Annotated[int, at_least(1)] = 1

    def pick(self, cycle: Cycle, candidates: Candidates, scores: Floats) -> Ints:
        if self.max_num_of_endpoints == 1:
            return best(scores, cycle.rng.random())
        tickets = np.array([cycle.rng.random() for _ in range(scores.size)])
        order: Ints = np.lexsort((tickets, -scores))
        return order[: self.max_num_of_endpoints]


@kernel
def best(scores: Floats, chance: float) -> Ints:
    """The index of the highest score, as an array of one; ``chance`` in [0, 1) picks among ties."""
    highest = -np.inf
    ties = 0
    for i in range(scores.size):
        if scores[i] > highest:
            highest = scores[i]
            ties = 1
        elif scores[i] == highest:
            ties += 1
    left = int(chance * ties)
    found = np.zeros(1, np.int64)
    for i in range(scores.size):
        if scores[i] == highest:
            if left == 0:
                found[0] = i
                break
            left -= 1
    return found
