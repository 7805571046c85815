"""What a target comes to, what it looks at, and the figures that several targets rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autoscaler.simulate.catalog import OURS
from autoscaler.simulate.tune import Point, cheapest, geometric_mean
from load_tests.scaling.cases import Case
from load_tests.scaling.runs import Figures, Job, Runs, days_of, grid_of


@dataclass(frozen=True, slots=True)
class Scope:
    """What to look at: fewer weeks and seeds for a first look."""

    weeks: tuple[str, ...]
    seeds: tuple[int, ...]
    lead_minutes: float = 6.5

    def cases(self, **faults: Any) -> list[Case]:
        return [Case(week, lead_minutes=self.lead_minutes, **faults) for week in self.weeks]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table."""

    target: str
    asked: str
    measured: str
    holds: bool
    rows: list[dict[str, Any]] = field(default_factory=list)


def ours_of(runs: Runs, case: Case, seeds: Sequence[int]) -> list[Figures]:
    days = days_of(case)[1]
    return runs.do(Job(replace(case, seed=seed), OURS, None, days) for seed in seeds)


def tuned_of(runs: Runs, case: Case, controller: str, seeds: Sequence[int]) -> list[Figures]:
    """The rival with the knob that was best on the days before."""
    train, judged = days_of(case)
    found = []
    for seed in seeds:
        one = replace(case, seed=seed)
        grid = grid_of(controller)
        swept = runs.sweep(one, controller, grid, train)
        points = [Point(k, f.cost, f.violations) for k, f in zip(grid, swept, strict=True)]
        found += runs.do([Job(one, controller, cheapest(points).knob, judged)])
    return found


def oracle_of(runs: Runs, case: Case) -> Figures:
    """The cheapest that knows everything, on the judged days themselves."""
    grid = grid_of("oracle")
    swept = runs.sweep(case, "oracle", grid, days_of(case)[1])
    points = [Point(k, f.cost, f.violations) for k, f in zip(grid, swept, strict=True)]
    return swept[grid.index(cheapest(points).knob)]


def means_of(figures: Sequence[Figures]) -> tuple[float, float]:
    """Geometric means of cost a day and of violations."""
    cost = geometric_mean([f.cost / f.days for f in figures])
    return cost, geometric_mean([max(f.violations, 1e-5) for f in figures])


def row_of(case: Case, mine: Figures, oracle: Figures | None) -> dict[str, Any]:
    return {
        "case": case.key(),
        "week": case.week,
        "violations": mine.violations,
        "violation_minutes": mine.violation_minutes,
        "cost": mine.cost,
        "over_oracle": mine.cost / oracle.cost if oracle is not None else math.nan,
        "oracle_violations": oracle.violations if oracle is not None else math.nan,
        "flaps_per_day": mine.flaps / mine.days,
    }


def by_week(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["week"], []).append(row)
    return found


def week_means(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(np.mean([r[name] for r in rs])) for rs in by_week(rows).values()]
