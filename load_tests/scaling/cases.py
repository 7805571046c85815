"""One case of the targets: a week, a seed, a lead time, and what goes wrong; made a scenario."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from autoscaler.policy.model import load_policy
from autoscaler.simulate.plant_file import load_plant
from autoscaler.simulate.scenario import Scenario
from load_tests.scaling.weeks import ALL, demand

DAY_S: Final = 86400.0
LEADS: Final = {2.0: (30.0, 90.0), 6.5: (240.0, 150.0), 12.0: (480.0, 240.0), 20.0: (840.0, 360.0)}
"""Lead time in minutes: seconds for the node, seconds for the pod."""
USUAL_LEAD: Final = 6.5
SPREAD: Final = 0.25
P90_OVER_MEDIAN: Final = 1.2
SLICE: Final = 4
STOCKOUTS_A_DAY: Final = 2


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is not the controller. Hashable: it is the key under which runs are kept."""

    week: str
    seed: int = 1
    lead_minutes: float = USUAL_LEAD
    capacity_factor: float = 1.0
    hazard_per_hour: float = 0.0
    stockouts: bool = False
    slices: bool = False
    everybody_owns_nodes: bool | None = None
    pools: str = "one"
    """``one``, or a mix: ``on-demand`` (only its on-demand pool) or ``mixed``."""

    def key(self) -> str:
        """For people and for files."""
        parts = [self.week, f"seed{self.seed}", f"lead{self.lead_minutes:g}"]
        if self.capacity_factor != 1.0:
            parts.append(f"capacity{self.capacity_factor:g}")
        if self.hazard_per_hour:
            parts.append(f"hazard{self.hazard_per_hour:g}")
        parts += ["stockouts"] * self.stockouts + ["slices"] * self.slices
        if self.everybody_owns_nodes is not None:
            parts.append("owned" if self.everybody_owns_nodes else "autoscaled")
        if self.pools != "one":
            parts.append(self.pools)
        return "-".join(parts)


def scenario(case: Case, data: Path | None) -> Scenario:
    """The whole of the case's week."""
    week = ALL[case.week]
    pools = _one_pool(case) if case.pools == "one" else _mix(case)
    most = 2 * week.peak_replicas
    policy = load_policy(
        {
            "mode": "active",
            "models": [{"name": "m", "maxReplicas": most, "profile": {}}],
            "pools": [said for said, _ in pools],
        }
    )
    plant = load_plant(
        {
            "replica": {"capacityFactor": case.capacity_factor},
            "pools": [real for _, real in pools],
            "faults": _faults(case, week.days, [str(said["name"]) for said, _ in pools]),
        }
    )
    return Scenario(
        plant=plant,
        policy=policy,
        demand=demand(week, data, case.seed),
        seed=case.seed,
        everybody_owns_nodes=case.everybody_owns_nodes,
    )


Pair = tuple[dict[str, Any], dict[str, Any]]
"""A pool as the policy has it, and as it is."""


def _one_pool(case: Case) -> list[Pair]:
    return [_pool(case, "a", 1.0, slice_of=SLICE if case.slices else 1, spot=False)]


def _mix(case: Case) -> list[Pair]:
    """Six pools of five kinds; prices and speeds are round figures, for their order only."""
    on_demand = _pool(case, "a100", 3.67)
    if case.pools == "on-demand":
        return [on_demand]
    return [
        on_demand,
        _pool(case, "a100-spot", 1.47, spot=True),
        _pool(case, "h100-spot", 2.94, speed=2.0, spot=True),
        _pool(case, "l4", 0.85, speed=0.2),
        _pool(case, "l4-spot", 0.34, speed=0.2, spot=True),
        _pool(case, "v5e", 12.0, slice_of=SLICE, kind="tpu"),
    ]


def _pool(
    case: Case,
    name: str,
    price: float,
    *,
    speed: float = 1.0,
    spot: bool = False,
    slice_of: int = 1,
    kind: str = "gpu",
) -> Pair:
    node_s, pod_s = LEADS[case.lead_minutes]
    hazard = case.hazard_per_hour if (spot or case.pools == "one") else 0.0
    said = {
        "name": name,
        "kind": kind,
        "mode": "buffer" if case.everybody_owns_nodes is False else "setSize",
        "spot": spot,
        "pricePerUnitHour": price * (slice_of if case.pools == "one" else 1),
        "replicasPerUnit": slice_of,
        "nodesPerUnit": slice_of,
        "relativeSpeed": speed,
        "hazardPerHour": hazard,
        "maxUnits": 64,
        "leadTime": {
            "node": f"{node_s * P90_OVER_MEDIAN:.0f}s",
            "pod": f"{pod_s * P90_OVER_MEDIAN:.0f}s",
        },
    }
    real = {
        "name": name,
        "nodeLeadTime": {"median": node_s, "spread": SPREAD},
        "podLeadTime": {"median": pod_s, "spread": SPREAD},
        "warmPodLeadTime": {"median": min(90.0, pod_s), "spread": SPREAD},
    }
    return said, real


def _faults(case: Case, days: int, pools: list[str]) -> list[dict[str, Any]]:
    rng = np.random.default_rng([case.seed, 77])
    made: list[dict[str, Any]] = []
    spot = [name for name in pools if name.endswith("-spot")]
    for day in range(days):
        for _ in range(STOCKOUTS_A_DAY if case.stockouts else 0):
            at_s = day * DAY_S + rng.uniform(0, DAY_S)
            length_s = rng.uniform(20, 60) * 60
            made.append({"kind": "stockout", "at": at_s, "duration": length_s})
        if spot:
            # A zone is reclaimed: all of one spot pool goes, and stays away for a while.
            name = spot[int(rng.integers(len(spot)))]
            at_s = day * DAY_S + rng.uniform(0, DAY_S)
            made.append({"kind": "preempt", "at": at_s, "pool": name, "share": 1.0})
            length_s = rng.uniform(20, 60) * 60
            made.append({"kind": "stockout", "at": at_s, "duration": length_s, "pool": name})
    return made
