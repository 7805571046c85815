"""Who knows the future: the cheapest size that perfect knowledge of demand would ask for.

Each level is ordered a lead time before it is needed and kept through pauses shorter than it takes
to get it back. A reference and not a strict bound: its grid is coarse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from autoscaler.observe.observation import Observation
from autoscaler.simulate.fluid import STEP_S
from autoscaler.simulate.plant import Plant
from autoscaler.simulate.rivals.rival import Fleet, started_with
from autoscaler.sizing.decision import Decision
from loadstar.arrays import Floats, Ints

SMOOTHED_S = 60.0


@dataclass(slots=True)
class Oracle:
    """``load`` is the share of full load that a ready replica is given."""

    fleet: Fleet
    plant: Plant
    load: float
    period_s: float = 15.0
    _ahead: Ints = field(init=False)
    _kept: Ints = field(init=False)
    _size: int | None = None

    def __post_init__(self) -> None:
        plant = self.plant
        speed = next(iter(plant.speeds.values()))
        work = plant.demand.rate_rps * plant.truth.work_s / (plant.factor * speed)
        needed = np.ceil(_smoothed(work, SMOOTHED_S) / self.load).astype(np.int64)
        lead_s = plant.longest_lead_s()
        self._ahead = _highest_ahead(needed, lead_s)
        self._kept = _highest_ahead(needed, lead_s + plant.spec.drain_s)

    def decide(self, seen: Observation) -> Decision:
        view = self.fleet.view(seen)
        current = started_with(seen) if self._size is None else self._size
        index = min(round((seen.now_s - self.plant.start_s) / STEP_S), len(self._ahead) - 1)
        size = max(int(self._ahead[index]), min(current, int(self._kept[index])))
        bounds = self.fleet.bounds
        self._size = min(max(size, bounds.least), bounds.most)
        return self.fleet.decision(view, self._size, current)


def _smoothed(work: Floats, seconds: float) -> Floats:
    """Means over ``seconds`` about each step."""
    n = max(1, round(seconds / STEP_S))
    total = np.concatenate(([0.0], np.cumsum(work)))
    at = np.arange(len(work))
    low, high = np.maximum(at - n // 2, 0), np.minimum(at - n // 2 + n, len(work))
    return np.asarray((total[high] - total[low]) / (high - low))


def _highest_ahead(values: Ints, seconds: float) -> Ints:
    """The highest value from each step on, for ``seconds``: doubling windows, then two of them."""
    n = min(max(1, math.ceil(seconds / STEP_S) + 1), len(values))
    made = values.copy()
    width = 1
    while 2 * width <= n:
        made = np.maximum(made, np.append(made[width:], np.repeat(made[-1:], width)))
        width *= 2
    rest = n - width
    if rest:
        made = np.maximum(made, np.append(made[rest:], np.repeat(made[-1:], rest)))
    return made
