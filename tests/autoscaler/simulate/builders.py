"""Small worlds for the simulator's tests; each default is one a test need not speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autoscaler.observe.observation import Observation
from autoscaler.policy.model import Policy, load_policy
from autoscaler.simulate.demand import DemandSeries, of_rates
from autoscaler.simulate.fluid import STEP_S
from autoscaler.simulate.plant import Plant
from autoscaler.simulate.plant_file import PlantSpec, load_plant
from autoscaler.simulate.scenario import alone
from autoscaler.sizing.decision import Decision, Reason

RPS_OF_REPLICA = 1 / 0.12354166666666666
"""What a replica of the default profile does at full load, at 1100 tokens in and 200 out."""


def policy(*pools: Mapping[str, Any], **model: Any) -> Policy:
    return load_policy(
        {
            "mode": "active",
            "models": [{"name": "m", **model}],
            "pools": list(pools) or [{"name": "a", "mode": "setSize"}],
        }
    )


def plant_spec(*pools: Mapping[str, Any], **more: Any) -> PlantSpec:
    steady = {"spread": 0}
    usual = [
        {
            "name": "a",
            "nodeLeadTime": {"median": "240s", **steady},
            "podLeadTime": {"median": "150s", **steady},
            "warmPodLeadTime": {"median": "90s", **steady},
        }
    ]
    return load_plant({"pools": [{**usual[0], **pool} for pool in pools] or usual, **more})


def constant(rps: float, seconds: float) -> DemandSeries:
    return of_rates(np.full(round(seconds / STEP_S), rps))


def plant(
    spec: PlantSpec | None = None,
    demand: DemandSeries | None = None,
    said: Policy | None = None,
    seed: int = 1,
    **more: Any,
) -> Plant:
    said = said or policy()
    return alone(
        spec or plant_spec(), said, said.models[0], demand or constant(20, 3600), seed, **more
    )


def passed(world: Plant, until_s: float) -> None:
    """Let time pass up to ``until_s``."""
    while world.now_s < until_s:
        world.step()


@dataclass(slots=True)
class Scripted:
    """Wants, from each time on, the sizes written for it."""

    script: Mapping[float, Mapping[str, int]]
    period_s: float = 15.0
    start_s: float = 0.0
    seen: list[Observation] = field(default_factory=list)

    def decide(self, seen: Observation) -> Decision:
        self.seen.append(seen)
        due = [t for t in self.script if t <= seen.now_s - self.start_s]
        replicas = self.script[max(due)] if due else {}
        return Decision(replicas=replicas, reason=Reason.STEADY)
