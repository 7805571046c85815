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
from typing import Any

from autoscaler.commands.files import Unusable, demand_of, model_of, plant_of, policy_of
from autoscaler.commands.simulate_together import Named, named, several, simulated
from autoscaler.commands.words import knob_problem, new_file, positive, seed
from autoscaler.policy.model import Mode, Policy
from autoscaler.simulate.catalog import ALIASES, CONTROLLERS, OURS
from autoscaler.simulate.plant_file import PlantSpec
from autoscaler.simulate.record import Outcome, encoded, outcome
from autoscaler.simulate.scenario import Scenario, may_write
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
        demands = [named(text, policy) for text in arguments.demand]
        histories = [named(text, policy) for text in arguments.history]
        if several("--demand", demands):
            return _together(arguments, policy, plant, demands, histories)
        (of, path), *_ = demands
        demand, first_t_s = demand_of(
            path,
            arguments.seed,
            input_tokens=arguments.input_tokens,
            output_tokens=arguments.output_tokens,
        )
        history = None
        if several("--history", histories):
            raise Unusable("--history: of several models, where --demand is of one")
        if histories:
            history, _ = demand_of(histories[0][1], arguments.seed)
        if arguments.model and of and arguments.model != of:
            raise Unusable(f"--demand is {of}'s, and --model says {arguments.model}")
        model = model_of(arguments.policy, policy, arguments.model or of)
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
    if status := _written(arguments.json, made.document(first_t_s)):
        return status
    sys.stdout.write(f"{summary(made)}\n")
    _say_if_idle(arguments.controller, policy)
    return 0


def _together(
    arguments: argparse.Namespace,
    policy: Policy,
    plant: PlantSpec,
    demands: Sequence[Named],
    histories: Sequence[Named],
) -> int:
    """Several models; 0 or 2. Raises Unusable."""
    writes = arguments.controller != OURS or may_write(policy)
    made, first_t_s = simulated(arguments, policy, plant, demands, histories, writes=writes)
    document = made.document(first_t_s)
    if status := _written(arguments.json, document):
        return status
    sys.stdout.write(f"{totals(document)}\n")
    _say_if_idle(arguments.controller, policy)
    return 0


def _written(path: Path | None, document: dict[str, Any]) -> int:
    try:
        if path is not None:
            path.write_bytes(encoded(document))
    except OSError as error:
        sys.stderr.write(f"{path}: {error}\n")
        return USAGE_ERROR
    return 0


def _say_if_idle(controller: str, policy: Policy) -> None:
    if controller == OURS and not may_write(policy):
        word = "kill switch is on" if policy.safety.kill_switch else f"mode is {policy.mode.value}"
        sys.stdout.write(f"the policy's {word}: nothing was called, the fleet stayed as it was\n")


def summary(made: Outcome) -> str:
    """One run in three lines."""
    known = "" if made.coverage is None else f", forecast coverage {made.coverage:.1%}"
    return (
        f"{made.controller}: {made.requests:,.0f} requests, {made.violation_fraction:.2%} late, "
        f"{made.violation_minutes} violation minutes\n"
        f"{made.node_hours:,.1f} node-hours, cost {made.cost:,.2f}\n"
        f"{made.actions} changes of size, {made.flaps} flaps, {len(made.calls)} calls{known}"
    )


def totals(document: dict[str, Any]) -> str:
    """One run of several models in as many lines and two."""
    lines = [
        f"{document['controller']}: {document['requests']:,.0f} requests, "
        f"{document['violation_fraction']:.2%} late, "
        f"{document['violation_minutes']} violation minutes",
    ]
    for name, part in document["models"].items():
        lines.append(
            f"  {name}: {part['requests']:,.0f} requests, {part['violation_fraction']:.2%} late, "
            f"{part['node_hours']:,.1f} node-hours, cost {part['cost']:,.2f}, "
            f"{part['actions']} changes of size, {part['flaps']} flaps"
        )
    lines.append(
        f"{document['node_hours']:,.1f} node-hours, cost {document['cost']:,.2f}, "
        f"{len(document['calls'])} calls"
    )
    return "\n".join(lines)


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
        action="append",
        required=True,
        metavar="[MODEL=]D.csv",
        help="t_s,rate_rps,input_tokens,output_tokens[,prefix_hit]; or a ServeGen, Azure or "
        "Mooncake trace; .xz is unpacked. Given again, each time with its model: several models "
        "that share pools, quota and budget",
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
        action="append",
        default=[],
        metavar="[MODEL=]CSV",
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
