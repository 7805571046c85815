"""``loadstar backtest TRACE --policy P``: any demand trace through ours, its rivals and the oracle.

Reads ServeGen rates, Azure and Mooncake requests, and plain CSV. Prints one line a controller.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson

from autoscaler.capacity.profiles import profile_of
from autoscaler.capacity.work import WorkModel
from autoscaler.commands.backtest_page import NoPlots, page, table
from autoscaler.commands.files import Unusable, demand_of, model_of, plant_of, policy_of
from autoscaler.commands.words import new_file, positive, seed
from autoscaler.policy.model import Mode, ModelPolicy, Policy
from autoscaler.simulate.backtest import Result, Split, backtest
from autoscaler.simulate.catalog import ALIASES, CONTROLLERS
from autoscaler.simulate.demand import DemandSeries
from autoscaler.simulate.plant_file import PlantSpec, load_plant, matched
from autoscaler.simulate.scenario import Scenario
from loadstar.config.errors import did_you_mean

USAGE_ERROR = 2
PEAK_LOAD = 0.9
PEAK_QUANTILE = 0.999
MINUTE_STEPS = 12


def main(argv: Sequence[str] | None = None) -> int:
    """Run the backtest; 0, or 2 where a file cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        policy = in_force(policy_of(arguments.policy, active=True))
        plant = plant_of(arguments.plant, policy) if arguments.plant else plant_like(policy)
        demand, first_t_s = demand_of(
            arguments.trace,
            arguments.seed,
            input_tokens=arguments.input_tokens,
            output_tokens=arguments.output_tokens,
        )
        model = model_of(arguments.policy, policy, arguments.model)
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    if arguments.peak_replicas is not None:
        demand = demand.scaled(arguments.peak_replicas / peak_replicas(demand, model))
    scenario = Scenario(
        plant=plant,
        policy=policy,
        demand=demand,
        seed=arguments.seed,
        model=model.name,
        first_t_s=first_t_s,
    )
    split = Split.of(demand.seconds, arguments.train_days)
    results = list(
        backtest(
            scenario, split, arguments.controllers, tuned=not arguments.untuned, progress=_progress
        )
    )
    sys.stderr.write("\r\033[K" if sys.stderr.isatty() else "")
    sys.stdout.write(rendered(results, split, demand.seconds))
    return _written(arguments, results)


def in_force(policy: Policy) -> Policy:
    """The policy as if it acted: what an advisory or halted one would do is what is asked here."""
    safety = replace(policy.safety, kill_switch=False)
    return replace(policy, mode=Mode.ACTIVE, safety=safety)


def plant_like(policy: Policy) -> PlantSpec:
    """The plant that is exactly as the policy believes."""
    return matched(load_plant({}), policy)


def peak_replicas(demand: DemandSeries, model: ModelPolicy) -> float:
    """Replicas that all but the very busiest minutes need."""
    work = WorkModel.of(profile_of(model))
    fresh = demand.input_tokens * (1.0 - demand.prefix_hit)
    rows = np.stack(
        (demand.rate_rps, demand.rate_rps * fresh, demand.rate_rps * demand.output_tokens), axis=1
    )
    each = work.rate(rows)
    whole = max(1, len(each) // MINUTE_STEPS) * MINUTE_STEPS
    minutes = np.resize(each, whole).reshape(-1, MINUTE_STEPS).mean(axis=1)
    return float(np.quantile(minutes, PEAK_QUANTILE)) / PEAK_LOAD


def rendered(results: Sequence[Result], split: Split, seconds: float) -> str:
    """The report for people."""
    cells = table(results)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    a, b = split.judged
    told = f"{seconds / 86400:.2f} days; judged {a / 86400:.2f} to {b / 86400:.2f}"
    if split.train == split.judged:
        told += ", rivals tuned on the same days: too short to hold some back"
    else:
        told += f", rivals tuned on {split.train[0] / 86400:.2f} to {split.train[1] / 86400:.2f}"
    return "\n".join([told, "", *lines, ""])


def _written(arguments: argparse.Namespace, results: Sequence[Result]) -> int:
    try:
        if arguments.json is not None:
            rows = [
                {
                    "controller": r.name,
                    "knob": r.knob,
                    "requests": r.outcome.requests,
                    "violation_fraction": r.outcome.violation_fraction,
                    "violation_minutes": r.outcome.violation_minutes,
                    "node_hours": r.outcome.node_hours,
                    "cost": r.outcome.cost,
                    "actions": r.outcome.actions,
                    "flaps": r.outcome.flaps,
                    "coverage": r.outcome.coverage,
                }
                for r in results
            ]
            arguments.json.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        if arguments.html is not None:
            title = f"{arguments.trace.name} under {len(results)} controllers"
            arguments.html.write_text(page(results, title), encoding="utf-8")
    except (OSError, NoPlots) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    return 0


def _progress(name: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{name} ...")
        sys.stderr.flush()


def _controllers(text: str) -> list[str]:
    made = []
    for word in text.split(","):
        name = ALIASES.get(word.strip(), word.strip())
        if name not in CONTROLLERS:
            hint = did_you_mean(name, CONTROLLERS)
            raise argparse.ArgumentTypeError(f"no controller {name!r}{hint}")
        made.append(name)
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("loadstar backtest", description=__doc__)
    parser.add_argument("trace", type=Path, metavar="TRACE", help="plain or .xz")
    parser.add_argument("--policy", type=Path, required=True, metavar="P.yaml")
    parser.add_argument(
        "--plant", type=Path, metavar="PLANT.yaml", help="else exactly as the policy believes"
    )
    parser.add_argument("--seed", type=seed, default=1)
    parser.add_argument("--model", default="", help="of the policy; the first unless given")
    parser.add_argument(
        "--controllers", type=_controllers, default=list(CONTROLLERS), metavar="A,B,..."
    )
    parser.add_argument("--untuned", action="store_true", help="rivals with their usual knobs")
    parser.add_argument("--train-days", type=positive, help="days to tune on; half unless given")
    parser.add_argument("--input-tokens", type=positive, help="where the trace has only rates")
    parser.add_argument("--output-tokens", type=positive, help="where the trace has only rates")
    parser.add_argument(
        "--peak-replicas", type=positive, help="scale the trace so that its peak needs so many"
    )
    parser.add_argument("--html", type=new_file, metavar="FILE", help="a page with plots")
    parser.add_argument("--json", type=new_file, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
