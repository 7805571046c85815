"""Ours against the HPA on arrivals at equal cost: the rival's target is the best one in hindsight.

The rival is run once more with the very target whose cost is ours, so that blocks of six hours can
be compared and not only sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from autoscaler.simulate.catalog import OURS
from autoscaler.simulate.tune import Point, cost_at, interval
from load_tests.scaling.cases import Case
from load_tests.scaling.runs import Figures, Job, Runs, days_of

RIVAL: Final = "hpa-rate"
FIRST_KNOBS: Final = (0.5, 0.7, 0.85, 1.0)
REFINED: Final = 2
LOWEST_KNOB: Final = 0.1


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
        points, rival = _at_cost(runs, one, days, mine.cost)
        ours.append(mine)
        theirs.append(rival)
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


def _at_cost(
    runs: Runs, case: Case, days: tuple[int, int], cost: float
) -> tuple[list[Point], Figures]:
    """The rival at ``cost``, and all its settings that were tried on the way."""
    tried: dict[float, Figures] = dict(
        zip(FIRST_KNOBS, runs.sweep(case, RIVAL, FIRST_KNOBS, days), strict=True)
    )
    for _ in range(REFINED):
        knob = _knob_at(tried, cost)
        if knob not in tried:
            [tried[knob]] = runs.do([Job(case, RIVAL, knob, days)])
    nearest = min(tried, key=lambda k: (abs(tried[k].cost - cost), k))
    return [Point(k, f.cost, f.violations) for k, f in tried.items()], tried[nearest]


def _knob_at(tried: Mapping[float, Figures], cost: float) -> float:
    """The target at which the rival should cost ``cost``; cost falls as the target grows."""
    pairs = sorted((f.cost, -k) for k, f in tried.items())
    inner = float(np.interp(cost, [c for c, _ in pairs], [-k for _, k in pairs]))
    if cost > pairs[-1][0]:
        inner = -pairs[-1][1] * pairs[-1][0] / cost
    return round(max(inner, LOWEST_KNOB), 3)
