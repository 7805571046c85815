"""The targets T1 to T10: what is asked, what was measured, and whether it holds.

Each is a function of the runs it asks for; the figures behind a verdict are kept in its rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from autoscaler.policy.model import load_policy
from autoscaler.simulate.catalog import OURS
from autoscaler.simulate.demand import of_rates
from autoscaler.simulate.plant_file import load_plant
from autoscaler.simulate.scenario import Scenario
from autoscaler.simulate.tune import Point, cheapest, geometric_mean
from load_tests.scaling.cases import Case
from load_tests.scaling.duel import Duel, duel
from load_tests.scaling.runs import Figures, Job, Runs, days_of, grid_of
from load_tests.scaling.weeks import PEAK_REPLICAS

RAMPS: Final = frozenset({"ramps", "daily-step"})
FLASH: Final = "flash"
DEAR: Final = ("hpa-kv", "hpa-queue-kv", "kpa", "wva")
CHEAP: Final = ("wva-old", "wva-v1", "dynamo")
OTHER: Final = ("hpa-queue", "hpa-rate", "apa", "apa-shipped", "static", "react")
MISS_RATE: Final = 0.07


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


def t1(runs: Runs, scope: Scope) -> list[Verdict]:
    """Violations over those of the HPA on arrivals at our cost."""
    found = []
    for who, owned, limit in (("we release nodes", None, 0.60), ("both by CA", False, 0.75)):
        duels = [
            duel(runs, replace(case, everybody_owns_nodes=owned), scope.seeds)
            for case in scope.cases()
        ]
        usual = [d.ratio for d in duels if d.case.week not in RAMPS]
        ramps = [d.ratio for d in duels if d.case.week in RAMPS]
        mean, worst = geometric_mean(usual), max((d.ratio for d in duels), default=math.nan)
        holds = (not usual or mean <= limit) and worst <= 1.0 and all(r <= 0.1 for r in ramps)
        found.append(
            Verdict(
                f"T1 {who}",
                f"ratio <= {limit} geomean, <= 1 each, ramps <= 0.1",
                f"{mean:.2f}; worst {worst:.2f}; ramps {_list(ramps)}",
                holds,
                [_duel_row(d) for d in duels],
            )
        )
    return found


def t2(runs: Runs, scope: Scope) -> list[Verdict]:
    """Cost and violations against rivals tuned on the days before."""
    ours = [f for case in scope.cases() for f in _ours(runs, case, scope.seeds)]
    cost, late = _means(ours)
    rows: list[dict[str, Any]] = [{"controller": OURS, "cost": 1.0, "violations": late}]
    dear_cost: list[float] = []
    cheap: list[tuple[float, float]] = []
    for name in (*DEAR, *CHEAP, *OTHER):
        theirs = [f for case in scope.cases() for f in _tuned(runs, case, name, scope.seeds)]
        their_cost, their_late = _means(theirs)
        rows.append({"controller": name, "cost": their_cost / cost, "violations": their_late})
        if name in DEAR:
            dear_cost.append(cost / their_cost)
        elif name in CHEAP:
            cheap.append((late / max(their_late, 1e-6), cost / their_cost))
    worst = max(dear_cost)
    return [
        Verdict(
            "T2 dear",
            "<= 75 % of the cost of HPA-KV, queue+KV, KPA, WVA-V2 at <= 1 %",
            f"{worst:.0%} of the cheapest of them, at {late:.2%}",
            worst <= 0.75 and late <= 0.01,
            rows,
        ),
        Verdict(
            "T2 cheap",
            "<= 60 % of the violations of WVA-old, V1, Dynamo at <= 100 % of the cost",
            "; ".join(f"{v:.0%} at {c:.0%}" for v, c in cheap),
            all(v <= 0.6 and c <= 1.0 for v, c in cheap),
        ),
    ]


def t3(runs: Runs, scope: Scope) -> list[Verdict]:
    """Cost over the oracle's."""
    rows = []
    for case in scope.cases():
        for seed in scope.seeds:
            one = replace(case, seed=seed)
            mine, oracle = _ours(runs, one, [seed])[0], _oracle(runs, one)
            rows.append(_row(one, mine, oracle))
    costs, late = [r["over_oracle"] for r in rows], [r["violations"] for r in rows]
    by_week = _by_week(rows)
    worst = max(geometric_mean([r["over_oracle"] for r in rs]) for rs in by_week.values())
    most = max(
        float(np.mean([r["violations"] for r in rs])) - (0.003 if week == FLASH else 0.0)
        for week, rs in by_week.items()
    )
    mean, mean_late = geometric_mean(costs), geometric_mean(late)
    return [
        Verdict(
            "T3 oracle",
            "<= 1.30x geomean at <= 0.5 %; each <= 1.45x, <= 1.2 % (flash 1.5 %)",
            f"{mean:.2f}x at {mean_late:.2%}; worst {worst:.2f}x, {most:.2%}",
            mean <= 1.30 and mean_late <= 0.005 and worst <= 1.45 and most <= 0.012,
            rows,
        )
    ]


def t4(runs: Runs, scope: Scope) -> list[Verdict]:
    """A profile that is wrong by a quarter."""
    found = []
    for factor in (0.75, 1.25):
        rows = []
        for case in scope.cases(capacity_factor=factor):
            for seed in scope.seeds:
                one = replace(case, seed=seed)
                rows.append(_row(one, _ours(runs, one, [seed])[0], _oracle(runs, one)))
        late = max(_week_means(rows, "violations"))
        cost = max(_week_means(rows, "over_oracle"))
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
                rows.append(_row(one, _ours(runs, one, [seed])[0], None))
        late = max(_week_means(rows, "violations"))
        found.append(
            Verdict(f"T5 {what}", f"<= {limit:.1%}", f"worst {late:.2%}", late <= limit, rows)
        )
    return found


def t6(runs: Runs, scope: Scope) -> list[Verdict]:
    """A flash crowd: minutes until 5 % or fewer are late."""
    case = Case(FLASH, lead_minutes=scope.lead_minutes)
    minutes = [s / 60 for f in _ours(runs, case, scope.seeds) for s in f.recoveries_s]
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


def t7(runs: Runs, scope: Scope) -> list[Verdict]:
    """Flaps."""
    rows: list[dict[str, Any]] = []
    for case in scope.cases():
        made = _ours(runs, case, scope.seeds)
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
    """Changes of direction within two days of a constant load, with the usual noise on it."""
    turns = 0
    for seed in seeds:
        steady = Scenario(
            plant=load_plant({"pools": ["a"], "noiseCv": 0.06, "initialReplicas": 20}),
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


def t8(runs: Runs, scope: Scope) -> list[Verdict]:
    """No history: against the HPA on arrivals at 60 % of what a replica sustains."""
    rows: list[dict[str, Any]] = []
    for week in ("mm-image", "diurnal-cold"):
        case = Case(week, lead_minutes=scope.lead_minutes)
        days = days_of(case)[1]
        mine = _ours(runs, case, scope.seeds)
        jobs = [Job(replace(case, seed=s), "hpa-rate", 0.6, days) for s in scope.seeds]
        theirs = runs.do(jobs)
        (cost, late), (their_cost, their_late) = _means(mine), _means(theirs)
        rows.append(
            {
                "week": week,
                "cost": cost / their_cost,
                "violations": late,
                "rival_violations": their_late,
            }
        )
    holds = all(
        r["cost"] <= 1.0 and r["violations"] <= max(r["rival_violations"], 0.001) for r in rows
    )
    shown = "; ".join(
        f"{r['week']} {r['cost']:.2f}x, {r['violations']:.2%} against {r['rival_violations']:.2%}"
        for r in rows
    )
    return [Verdict("T8 cold start", "never worse than HPA-rps(.6)", shown, holds, rows)]


def t9(runs: Runs, scope: Scope) -> list[Verdict]:
    """How long a decision takes."""
    made = [f for case in scope.cases() for f in _ours(runs, case, scope.seeds)]
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


def t10(runs: Runs, scope: Scope) -> list[Verdict]:
    """A mix of pools against its on-demand pool alone."""
    rows = []
    week = "m-small" if "m-small" in scope.weeks else scope.weeks[0]
    for seed in scope.seeds:
        only, mixed = (
            _ours(runs, Case(week, seed=seed, pools=pools, stockouts=True), [seed])[0]
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


def covered(runs: Runs, scope: Scope) -> list[Verdict]:
    """Whether the forecast's upper bound holds as often as it says."""
    shares = [
        f.coverage
        for case in scope.cases()
        for f in _ours(runs, case, scope.seeds)
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


def leads(runs: Runs, scope: Scope) -> list[Verdict]:
    """The duel at other lead times."""
    found = []
    for minutes in (2.0, 12.0, 20.0):
        duels = [
            duel(runs, replace(case, lead_minutes=minutes), scope.seeds) for case in scope.cases()
        ]
        usual = [d.ratio for d in duels if d.case.week not in RAMPS]
        found.append(
            Verdict(
                f"lead {minutes:g} min",
                "ratio <= 1 each",
                f"{geometric_mean(usual):.2f}; worst {max(d.ratio for d in duels):.2f}",
                all(d.ratio <= 1.0 for d in duels),
                [_duel_row(d) for d in duels],
            )
        )
    return found


TARGETS: Final[Mapping[str, Callable[[Runs, Scope], list[Verdict]]]] = MappingProxyType(
    {
        "T1": t1,
        "T2": t2,
        "T3": t3,
        "T4": t4,
        "T5": t5,
        "T6": t6,
        "T7": t7,
        "T8": t8,
        "T9": t9,
        "T10": t10,
        "coverage": covered,
        "leads": leads,
    }
)


def _ours(runs: Runs, case: Case, seeds: Sequence[int]) -> list[Figures]:
    days = days_of(case)[1]
    return runs.do(Job(replace(case, seed=seed), OURS, None, days) for seed in seeds)


def _tuned(runs: Runs, case: Case, controller: str, seeds: Sequence[int]) -> list[Figures]:
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


def _oracle(runs: Runs, case: Case) -> Figures:
    """The cheapest that knows everything, on the judged days themselves."""
    grid = grid_of("oracle")
    swept = runs.sweep(case, "oracle", grid, days_of(case)[1])
    points = [Point(k, f.cost, f.violations) for k, f in zip(grid, swept, strict=True)]
    return swept[grid.index(cheapest(points).knob)]


def _means(figures: Sequence[Figures]) -> tuple[float, float]:
    """Geometric means of cost a day and of violations."""
    cost = geometric_mean([f.cost / f.days for f in figures])
    return cost, geometric_mean([max(f.violations, 1e-5) for f in figures])


def _row(case: Case, mine: Figures, oracle: Figures | None) -> dict[str, Any]:
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


def _duel_row(made: Duel) -> dict[str, Any]:
    return {**asdict(made), "case": made.case.key(), "week": made.case.week}


def _by_week(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["week"], []).append(row)
    return found


def _week_means(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(np.mean([r[name] for r in rs])) for rs in _by_week(rows).values()]


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.2f}" for v in values) or "none"
