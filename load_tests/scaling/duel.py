"""Ours against the HPA on arrivals at equal cost: the rival's target is the best one in hindsight.

The rival is run once more with the very target whose cost is ours, so that blocks of six hours can
be compared and not only sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoscaler.simulate.catalog import OURS
from autoscaler.simulate.tune import Point, cost_at, interval
from load_tests.scaling.cases import Case
from load_tests.scaling.runs import Figures, Job, Runs, days_of, grid_of

RIVAL = "hpa-rate"


@dataclass(frozen=True, slots=True)
class Duel:
    """One week over all its seeds."""

    case: Case
    cost: float
    ours: float  # share of late requests
    theirs: float  # the rival's at our cost
    ratio: float
    low: float
    high: float
    cost_at_ours: float
    """What the rival would cost at our violations, over our cost."""


def duel(runs: Runs, case: Case, seeds: Sequence[int]) -> Duel:
    """``case`` with each of ``seeds``, pooled."""
    ours: list[Figures] = []
    theirs: list[Figures] = []
    dearer: list[float] = []
    for seed in seeds:
        one = replace(case, seed=seed)
        days = days_of(one)[1]
        [mine] = runs.do([Job(one, OURS, None, days)])
        grid = grid_of(RIVAL)
        swept = runs.sweep(one, RIVAL, grid, days)
        knob = _knob_at(grid, swept, mine.cost)
        [rival] = runs.do([Job(one, RIVAL, knob, days)])
        ours.append(mine)
        theirs.append(rival)
        points = [Point(k, f.cost, f.violations) for k, f in zip(grid, swept, strict=True)]
        dearer.append(cost_at(points, mine.violations) / mine.cost)
    requests = sum(f.requests for f in ours)
    late, rival_late = sum(f.late for f in ours), sum(f.late for f in theirs)
    low, high = interval(
        [b for f in ours for b in f.late_blocks],
        [b for f in theirs for b in f.late_blocks],
        np.random.default_rng(1),
    )
    return Duel(
        case=case,
        cost=sum(f.cost for f in ours) / len(ours),
        ours=late / requests,
        theirs=rival_late / requests,
        ratio=late / rival_late if rival_late > 0 else float("inf") if late > 0 else 1.0,
        low=low,
        high=high,
        cost_at_ours=sum(dearer) / len(dearer),
    )


def _knob_at(grid: Sequence[float], swept: Sequence[Figures], cost: float) -> float:
    """The target at which the rival costs ``cost``; cost falls as the target grows."""
    pairs = sorted((f.cost, k) for k, f in zip(grid, swept, strict=True))
    knob = float(np.interp(cost, [c for c, _ in pairs], [k for _, k in pairs]))
    return round(knob, 4)
