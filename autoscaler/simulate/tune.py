"""Choosing a rival's knob, and comparing fronts of cost against violations. Pure.

A knob is chosen on training days: the cheapest that keeps the violations low. In a duel the rival
gets its best knob in hindsight: what it would have violated at our cost, and the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

LIMIT: Final = 0.005
"""Share of late requests that a tuned controller may have on the days it is tuned on."""
LEAST: Final = 1e-6
"""Fewer violations than this cannot be told apart."""
DRAWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Point:
    """What one setting of a knob came to."""

    knob: float
    cost: float
    violations: float


def cheapest(points: Sequence[Point], limit: float = LIMIT) -> Point:
    """The cheapest that keeps to ``limit``; where none does, the one that violates least."""
    good = [point for point in points if point.violations <= limit]
    if good:
        return min(good, key=lambda p: (p.cost, p.violations, p.knob))
    return min(points, key=lambda p: (p.violations, p.cost, p.knob))


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both, by cost."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, p.violations)):
        if not kept or point.violations < kept[-1].violations:
            kept.append(point)
    return kept


def violations_at(points: Sequence[Point], cost: float) -> float:
    """Violations of the front at ``cost``, geometric in between; its last ones where it ends."""
    best = front(points)
    logs = [math.log(max(p.violations, LEAST)) for p in best]
    return math.exp(float(np.interp(cost, [p.cost for p in best], logs)))


def cost_at(points: Sequence[Point], violations: float) -> float:
    """Cost of the front at ``violations``."""
    best = front(points)[::-1]
    logs = [math.log(max(p.violations, LEAST)) for p in best]
    return float(np.interp(math.log(max(violations, LEAST)), logs, [p.cost for p in best]))


def swept(run: Callable[[float], tuple[float, float]], grid: Sequence[float]) -> list[Point]:
    """Each knob of ``grid`` through ``run``, which gives cost and violations."""
    return [Point(knob, *run(knob)) for knob in grid]


def geometric_mean(values: Sequence[float]) -> float:
    """Of ratios; NaN of none."""
    if not values:
        return math.nan
    return math.exp(sum(math.log(max(v, LEAST)) for v in values) / len(values))


def interval(
    ours: Sequence[float], theirs: Sequence[float], rng: np.random.Generator, share: float = 0.9
) -> tuple[float, float]:
    """Bootstrap interval of sum(ours) / sum(theirs) over blocks that belong together."""
    a, b = np.asarray(ours), np.asarray(theirs)
    if len(a) == 0 or b.sum() <= 0:
        return (math.nan, math.nan)
    which = rng.integers(0, len(a), (DRAWS, len(a)))
    ratios = a[which].sum(axis=1) / np.maximum(b[which].sum(axis=1), LEAST)
    low, high = np.quantile(ratios, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
