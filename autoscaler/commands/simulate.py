"""``loadstar autoscaler simulate``: one controller against one plant in virtual time, as JSON.

The same files and seed give the same bytes. Reads files and prints; the work is in
``autoscaler.simulate``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoscaler.commands.files import Unusable, demand_of, model_of, plant_of, policy_of
from autoscaler.commands.words import knob_problem, new_file, positive, seed
from autoscaler.policy.model import Mode
from autoscaler.simulate.catalog import ALIASES, CONTROLLERS, OURS
from autoscaler.simulate.record import Outcome, encoded, outcome
from autoscaler.simulate.scenario import Scenario
from loadstar.config.errors import did_you_mean

USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one simulation; 0, or 2 where a file cannot be used."""
    arguments = _parser().parse_args(argv)
    if problem := knob_problem(arguments.controller, arguments.knob):
        sys.stderr.write(f"{problem}\n")
        return USAGE_ERROR
    try:
        policy = policy_of(arguments.policy, active=True)
        if arguments.active and policy.mode is Mode.ADVISORY:
            policy = replace(policy, mode=Mode.ACTIVE)
        plant = plant_of(arguments.plant, policy)
        demand, first_t_s = demand_of(
            arguments.demand,
            arguments.seed,
            input_tokens=arguments.input_tokens,
            output_tokens=arguments.output_tokens,
        )
        history = None
        if arguments.history is not None:
            history, _ = demand_of(arguments.history, arguments.seed)
        model = model_of(arguments.policy, policy, arguments.model)
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    scenario = Scenario(
        plant=plant,
        policy=policy,
        demand=demand,
        seed=arguments.seed,
        model=model.name,
        first_t_s=first_t_s,
        history=history,
    )
    recorder, built = scenario.recorded(arguments.controller, arguments.knob)
    made = outcome(arguments.controller, recorder, built.calls)
    if arguments.json is not None:
        try:
            arguments.json.write_bytes(encoded(made.document(first_t_s)))
        except OSError as error:
            sys.stderr.write(f"{arguments.json}: {error}\n")
            return USAGE_ERROR
    sys.stdout.write(f"{summary(made)}\n")
    if arguments.controller == OURS and not scenario.writes():
        word = "kill switch is on" if policy.safety.kill_switch else f"mode is {policy.mode.value}"
        sys.stdout.write(f"the policy's {word}: nothing was called, the fleet stayed as it was\n")
    return 0


def summary(made: Outcome) -> str:
    """One run in three lines."""
    known = "" if made.coverage is None else f", forecast coverage {made.coverage:.1%}"
    return (
        f"{made.controller}: {made.requests:,.0f} requests, {made.violation_fraction:.2%} late, "
        f"{made.violation_minutes} violation minutes\n"
        f"{made.node_hours:,.1f} node-hours, cost {made.cost:,.2f}\n"
        f"{made.actions} changes of size, {made.flaps} flaps, {len(made.calls)} calls{known}"
    )


def _controller(text: str) -> str:
    name = ALIASES.get(text, text)
    if name not in CONTROLLERS:
        hint = did_you_mean(text, CONTROLLERS)
        raise argparse.ArgumentTypeError(
            f"no controller {text!r}{hint}; of {', '.join(CONTROLLERS)}"
        )
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("loadstar autoscaler simulate", description=__doc__)
    parser.add_argument("--policy", type=Path, required=True, metavar="P.yaml")
    parser.add_argument(
        "--demand",
        type=Path,
        required=True,
        metavar="D.csv",
        help="t_s,rate_rps,input_tokens,output_tokens[,prefix_hit]; or a ServeGen, Azure or "
        "Mooncake trace; .xz is unpacked",
    )
    parser.add_argument("--plant", type=Path, required=True, metavar="PLANT.yaml")
    parser.add_argument("--seed", type=seed, default=1)
    parser.add_argument("--json", type=new_file, metavar="OUT", help="write all figures here")
    parser.add_argument(
        "--controller",
        type=_controller,
        default=OURS,
        metavar="NAME",
        help=f"instead of the policy's own: {', '.join(name for name in CONTROLLERS)}",
    )
    parser.add_argument("--knob", type=float, help="the rival's target; see docs/simulate.md")
    parser.add_argument("--model", default="", help="of the policy; the first unless given")
    parser.add_argument(
        "--history",
        type=Path,
        metavar="CSV",
        help="demand that came before, up to the first row of --demand: what old days are known",
    )
    parser.add_argument(
        "--active", action="store_true", help="see what an advisory policy would do, done"
    )
    parser.add_argument("--input-tokens", type=positive, help="where the trace has only rates")
    parser.add_argument("--output-tokens", type=positive, help="where the trace has only rates")
    return parser


if __name__ == "__main__":
    sys.exit(main())
