"""Targets of manners: few turns, quick decisions, forecasts that hold as often as they say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from autoscaler.policy.model import load_policy
from autoscaler.simulate.demand import of_rates
from autoscaler.simulate.plant_file import load_plant
from autoscaler.simulate.scenario import Scenario
from load_tests.scaling.runs import Runs
from load_tests.scaling.verdict import Scope, Verdict, ours_of
from load_tests.scaling.weeks import PEAK_REPLICAS

MISS_RATE: Final = 0.07


def t7(runs: Runs, scope: Scope) -> list[Verdict]:
    """Flaps."""
    rows: list[dict[str, Any]] = []
    for case in scope.cases():
        made = ours_of(runs, case, scope.seeds)
        a_day = sum(f.flaps for f in made) / sum(f.days for f in made)
        rows.append({"week": case.week, "flaps_per_day": a_day})
    mean = float(np.mean([r["flaps_per_day"] for r in rows]))
    turns = constant_turns(scope.seeds)
    return [
        Verdict(
            "T7 flaps",
            f"<= 10 a day per {PEAK_REPLICAS} replicas; none on constant load",
            f"mean {mean:.1f}, worst {max(r['flaps_per_day'] for r in rows):.1f}; constant {turns}",
            mean <= 10 and turns == 0,
            rows,
        )
    ]


def constant_turns(seeds: Sequence[int]) -> int:
    """Changes of direction within two days of a constant load."""
    turns = 0
    for seed in seeds:
        steady = Scenario(
            plant=load_plant({"initialReplicas": 20}),
            policy=load_policy(
                {"mode": "active", "models": [{"name": "m"}], "pools": [_steady_pool()]}
            ),
            demand=of_rates(np.full(2 * 17280, 120.0)),
            seed=seed,
        )
        sizes = [n for _, n in steady.outcome().sizes]
        ways = [math.copysign(1, b - a) for a, b in itertools.pairwise(sizes)]
        turns += sum(a != b for a, b in itertools.pairwise(ways))
    return turns


def _steady_pool() -> dict[str, Any]:
    return {"name": "a", "mode": "setSize"}


def t9(runs: Runs, scope: Scope) -> list[Verdict]:
    """How long a decision takes."""
    made = [f for case in scope.cases() for f in ours_of(runs, case, scope.seeds)]
    p99, longest = max(f.decide_p99_s for f in made), max(f.decide_max_s for f in made)
    mean = float(np.mean([f.decide_mean_s for f in made]))
    return [
        Verdict(
            "T9 time",
            "a decision <= 50 ms, a refit <= 5 s",
            f"mean {1e3 * mean:.2f} ms, p99 {1e3 * p99:.1f} ms, longest (refit) {longest:.2f} s",
            p99 <= 0.050 and longest <= 5.0,
        )
    ]


def covered(runs: Runs, scope: Scope) -> list[Verdict]:
    """Whether the forecast's upper bound holds as often as it says."""
    shares = [
        f.coverage
        for case in scope.cases()
        for f in ours_of(runs, case, scope.seeds)
        if f.coverage is not None
    ]
    if not shares:
        return [Verdict("coverage", "within .02 of .93", "no forecast was told", False)]
    mean, off = float(np.mean(shares)), max(abs(s - (1 - MISS_RATE)) for s in shares)
    return [
        Verdict(
            "coverage", "within .02 of .93", f"mean {mean:.3f}, worst off {off:.3f}", off <= 0.02
        )
    ]
