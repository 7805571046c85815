"""``simulate`` with ``--demand MODEL=D.csv`` for several models: files in, one document out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from autoscaler.commands.files import Unusable, demand_of
from autoscaler.policy.model import Policy
from autoscaler.simulate.demand import DemandSeries
from autoscaler.simulate.plant_file import PlantSpec
from autoscaler.simulate.together import Apart, Run, run_together
from loadstar.config.errors import did_you_mean

Named = tuple[str, Path]
"""A model, or "" for the one of ``--model``; and its file."""


def named(text: str, policy: Policy) -> Named:
    """``MODEL=FILE``, or a file alone, also one that has = in its name. Raises Unusable."""
    name, equals, rest = text.partition("=")
    models = [model.name for model in policy.models]
    if not equals or (name not in models and Path(text).exists()):
        return "", Path(text)
    if name not in models:
        raise Unusable(f"{text}: the policy has no model {name!r}{did_you_mean(name, models)}")
    return name, Path(rest)


def several(flag: str, given: Sequence[Named]) -> bool:
    """Whether ``flag`` was given for more than one model. Raises Unusable where that is unclear."""
    names = [name for name, _ in given]
    if len(given) > 1 and "" in names:
        raise Unusable(f"{flag}: of several, each must say its model: {flag} MODEL=FILE")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Unusable(f"{flag}: {twice} is there twice")
    return len(given) > 1


def simulated(
    arguments: argparse.Namespace,
    policy: Policy,
    plant: PlantSpec,
    demands: Sequence[Named],
    histories: Sequence[Named],
    *,
    writes: bool,
) -> tuple[Run, float]:
    """One run, and the ``t_s`` of the first row. Raises Unusable."""
    if arguments.model:
        raise Unusable("--model: with several --demand each says its own")
    series: dict[str, DemandSeries] = {}
    firsts: dict[str, float] = {}
    for name, path in demands:
        series[name], firsts[name] = demand_of(
            path,
            arguments.seed,
            input_tokens=arguments.input_tokens,
            output_tokens=arguments.output_tokens,
        )
    if len(set(firsts.values())) > 1:
        told = ", ".join(f"{name} {t_s:g}" for name, t_s in firsts.items())
        raise Unusable(f"--demand: all must begin at the same t_s: {told}")
    several("--history", histories)
    for name, path in histories:
        if name not in series:
            raise Unusable(f"--history {path}: which model's? write MODEL=FILE")
    first_t_s = next(iter(firsts.values()))
    try:
        made = run_together(
            plant,
            policy,
            series,
            seed=arguments.seed,
            first_t_s=first_t_s,
            histories={name: demand_of(path, arguments.seed)[0] for name, path in histories},
            controller=arguments.controller,
            knob=arguments.knob,
            writes=writes,
        )
    except Apart as error:
        raise Unusable(str(error)) from None
    return made, first_t_s
