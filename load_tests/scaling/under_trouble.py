"""Targets under trouble: wrong profiles, stockouts, spot, slices, flash crowds, a mix of pools."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np

from autoscaler.simulate.catalog import OURS
from autoscaler.simulate.tune import geometric_mean
from load_tests.scaling.cases import Case
from load_tests.scaling.runs import Job, Runs
from load_tests.scaling.verdict import Scope, Verdict, oracle_of, ours_of, row_of, week_means

FLASH: Final = "flash"
MIXED_DAYS: Final = (7, 10)
"""Mixes of six pools are solved for by the minute: three days say enough."""


def t4(runs: Runs, scope: Scope) -> list[Verdict]:
    """A profile that is wrong by a quarter."""
    found = []
    for factor in (0.75, 1.25):
        rows = []
        for case in scope.cases(capacity_factor=factor):
            for seed in scope.seeds:
                one = replace(case, seed=seed)
                rows.append(row_of(one, ours_of(runs, one, [seed])[0], oracle_of(runs, one)))
        late = max(week_means(rows, "violations"))
        cost = max(week_means(rows, "over_oracle"))
        found.append(
            Verdict(
                f"T4 capacity x{factor:g}",
                "<= 1.2 % violations, <= 1.45x the oracle at the true capacity",
                f"worst {late:.2%}, {cost:.2f}x",
                late <= 0.012 and cost <= 1.45,
                rows,
            )
        )
    return found


def t5(runs: Runs, scope: Scope) -> list[Verdict]:
    """Stockouts, spot, slices."""
    found = []
    asks: list[tuple[str, dict[str, Any], float]] = [
        ("stockouts 2 a day", {"stockouts": True}, 0.013),
        ("spot, .5 an hour", {"hazard_per_hour": 0.5}, 0.013),
        ("slices of 4", {"slices": True}, 0.013),
    ]
    for what, faults, limit in asks:
        rows = []
        for case in scope.cases(**faults):
            if faults.get("slices") and case.week == "small-fleet":
                continue
            for seed in scope.seeds:
                one = replace(case, seed=seed)
                rows.append(row_of(one, ours_of(runs, one, [seed])[0], None))
        late = max(week_means(rows, "violations"))
        found.append(
            Verdict(f"T5 {what}", f"<= {limit:.1%}", f"worst {late:.2%}", late <= limit, rows)
        )
    return found


def t6(runs: Runs, scope: Scope) -> list[Verdict]:
    """A flash crowd: minutes until 5 % or fewer are late."""
    case = Case(FLASH, lead_minutes=scope.lead_minutes)
    minutes = [s / 60 for f in ours_of(runs, case, scope.seeds) for s in f.recoveries_s]
    worst = max(minutes, default=math.nan)
    limit = scope.lead_minutes + 4
    return [
        Verdict(
            "T6 flash",
            f"back under 5 % within lead + 4 = {limit:g} min",
            f"median {np.median(minutes):.1f}, worst {worst:.1f} min of {len(minutes)}",
            worst <= limit,
            [{"minutes": minutes}],
        )
    ]


def t10(runs: Runs, scope: Scope) -> list[Verdict]:
    """A mix of pools against its on-demand pool alone."""
    rows = []
    week = "m-small" if "m-small" in scope.weeks else scope.weeks[0]
    for seed in scope.seeds:
        only, mixed = runs.do(
            Job(Case(week, seed, pools=pools, stockouts=True), OURS, None, MIXED_DAYS, True)
            for pools in ("on-demand", "mixed")
        )
        rows.append(
            {
                "seed": seed,
                "cost": mixed.cost / only.cost,
                "violations": mixed.violations,
                "on_demand_violations": only.violations,
                "actions": mixed.actions,
            }
        )
    cost = geometric_mean([r["cost"] for r in rows])
    late = float(np.mean([r["violations"] for r in rows]))
    only_late = float(np.mean([r["on_demand_violations"] for r in rows]))
    return [
        Verdict(
            "T10 mix",
            "<= .60x the cost of on-demand only, at no more violations",
            f"{cost:.2f}x at {late:.2%} against {only_late:.2%}",
            cost <= 0.60 and late <= only_late,
            rows,
        )
    ]
