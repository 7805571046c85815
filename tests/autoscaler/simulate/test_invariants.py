"""What holds of the policy's own controller on any plant, whatever goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler.policy.model import Policy, load_policy
from autoscaler.simulate.catalog import CONTROLLERS, OURS
from autoscaler.simulate.demand import of_rates
from autoscaler.simulate.plant_file import load_plant
from autoscaler.simulate.record import Recorder
from autoscaler.simulate.run import run as drive
from autoscaler.simulate.scenario import Scenario
from autoscaler.sizing.decision import Decision
from tests.autoscaler.simulate.builders import RPS_OF_REPLICA

QUICK_HOURS, LONG_HOURS = 0.5, 1.5
LASTING = ("stockout", "metricsGap", "conflict", "apiError", "capacity", "slow", "quota")
INSTANT = ("preempt", "nodeLoss", "undo", "resize")
MODES = ("setSize", "buffer", "floor", "placeholder", "computeClass", "provisioningRequest")


@st.composite
def faults(draw: st.DrawFn, pools: list[str]) -> list[dict[str, Any]]:
    made = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(LASTING + INSTANT))
        fault: dict[str, Any] = {"kind": kind, "at": draw(st.integers(0, 5000))}
        if kind != "metricsGap":
            fault["pool"] = draw(st.sampled_from(pools))
        if kind in LASTING:
            fault["duration"] = draw(st.sampled_from([60, 600, 1800]))
        if kind in ("quota", "resize", "undo", "preempt"):
            fault["units"] = draw(st.integers(0, 6))
        if kind in ("capacity", "slow"):
            fault["factor"] = draw(st.sampled_from([0.7, 1.3, 3.0]))
        made.append(fault)
    return made


@st.composite
def scenarios(draw: st.DrawFn, hours: float) -> Scenario:
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    pools: list[dict[str, Any]] = []
    for name in names:
        per_unit = draw(st.sampled_from([1, 1, 1, 4]))
        low = draw(st.integers(0, 2))
        pools.append(
            {
                "name": name,
                "kind": "tpu" if per_unit > 1 else "gpu",
                "mode": draw(st.sampled_from(MODES)),
                "spot": draw(st.booleans()),
                "pricePerUnitHour": draw(st.sampled_from([0.5, 1.0, 4.0])),
                "replicasPerUnit": per_unit,
                "nodesPerUnit": per_unit,
                "minUnits": low,
                "maxUnits": low + draw(st.integers(1, 20)),
                "quota": draw(st.none() | st.integers(low + 1, 16)),
                "zones": ["x", "y", "z"][: draw(st.integers(0, 3))],
                "leadTime": {"node": "90s", "pod": "60s"},
                "relativeSpeed": draw(st.sampled_from([0.5, 1.0, 2.0])),
            }
        )
    floor_cost = sum(p["minUnits"] * p["pricePerUnitHour"] for p in pools)
    least = 1
    most = max(least + draw(st.integers(0, 40)), min(p["replicasPerUnit"] for p in pools))
    policy = load_policy(
        {
            "mode": "active",
            "models": [{"name": "m", "minReplicas": least, "maxReplicas": most}],
            "pools": pools,
            "budgetPerHour": draw(st.none() | st.floats(floor_cost + 4, floor_cost + 40)),
        }
    )
    plant = load_plant({"pools": names, "noiseCv": 0.1, "faults": draw(faults(names))})
    level = draw(st.floats(0.5, 12)) * RPS_OF_REPLICA
    jump = draw(st.sampled_from([0.3, 1.0, 3.0]))
    steps = round(hours * 720)
    rates = np.full(steps, level)
    rates[steps // 3 :] *= jump
    return Scenario(
        plant=plant, policy=policy, demand=of_rates(rates), seed=draw(st.integers(0, 99))
    )


class Watched:
    """A controller and all it has said."""

    def __init__(self, world: Scenario) -> None:
        self.plant = world.built(OURS)
        self.inner = CONTROLLERS[OURS].controller(self.plant)
        self.period_s = self.inner.period_s
        self.said: list[tuple[Any, Decision]] = []

    def decide(self, seen: Any) -> Decision:
        decision = self.inner.decide(seen)
        self.said.append((seen, decision))
        return decision


def run(world: Scenario) -> tuple[Watched, Recorder]:
    watched = Watched(world)
    return watched, drive(watched.plant, watched)


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(UNHURRIED, max_examples=3)
@given(world=scenarios(QUICK_HOURS))
def test_the_rails_hold(world: Scenario) -> None:
    rails_hold(world)
    calls_keep_to_their_pools(world)
    figures_add_up(world)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(UNHURRIED, max_examples=20)
@given(world=scenarios(LONG_HOURS))
def test_the_rails_hold_for_long(world: Scenario) -> None:
    rails_hold(world)
    calls_keep_to_their_pools(world)
    figures_add_up(world)


@pytest.mark.slow
@pytest.mark.timeout(120)
@settings(UNHURRIED, max_examples=6)
@given(world=scenarios(LONG_HOURS))
def test_the_same_inputs_and_seed_give_the_same_decisions(world: Scenario) -> None:
    assert world.outcome().document() == world.outcome().document()


def rails_hold(world: Scenario) -> None:
    """Bounds, quota, budget, whole slices; nothing goes down on what cannot be seen."""
    watched, _ = run(world)
    policy: Policy = world.policy
    model = policy.models[0]
    before: Decision | None = None
    for seen, decision in watched.said:
        assert set(decision.replicas) == {p.name for p in policy.pools}
        assert all(type(n) is int for n in decision.replicas.values())
        assert decision.total() <= model.max_replicas
        room = sum(
            pool.limit_units(seen.supply[pool.name].quota_units) * pool.replicas_per_unit
            for pool in policy.pools
            if pool.replicas_per_unit <= model.max_replicas
        )
        assert decision.total() >= min(model.min_replicas, room), "below what the policy wants"
        cost = standing = paid = 0.0
        for pool in policy.pools:
            replicas = decision.replicas[pool.name]
            units, rest = divmod(replicas, pool.replicas_per_unit)
            assert rest == 0, "part of a slice"
            assert units <= pool.limit_units()
            cost += units * pool.price_per_unit_hour
            there = seen.supply[pool.name].units_ready + seen.supply[pool.name].units_starting
            standing += there * pool.price_per_unit_hour
            paid += max(units, there) * pool.price_per_unit_hour
        if policy.budget_per_hour is not None:
            assert cost <= policy.budget_per_hour + 1e-6
            assert paid <= max(policy.budget_per_hour, standing) + 1e-6, "bought beside what stands"
        if before is not None and seen.demand.arrivals_rps is None:
            assert decision.total() >= before.total(), "went down on what it could not see"
        before = decision


def figures_add_up(world: Scenario) -> None:
    """The totals are those of the minutes, and the size's changes those of the calls."""
    report = world.outcome().document()
    minutes = report["minutes"]
    late = sum(m["violations"] for m in minutes)
    assert sum(m["demand"] for m in minutes) * 60 == pytest.approx(report["requests"], rel=1e-4)
    assert late / report["requests"] == pytest.approx(report["violation_fraction"], abs=1e-5)
    assert 0 <= report["violation_fraction"] <= 1
    assert sum(m["cost"] for m in minutes) == pytest.approx(report["cost"], abs=1e-3)
    assert sum(m["nodes"] for m in minutes) / 60 == pytest.approx(report["node_hours"], abs=1e-3)
    workloads = [c for c in report["calls"] if "placeholder" not in c["method"]]
    times = {c["t_s"] for c in workloads if c["api"] in ("autoscaling/v2", "apps/v1")}
    assert report["actions"] <= len(times)
    assert report["flaps"] <= report["actions"]


def calls_keep_to_their_pools(world: Scenario) -> None:
    """No resize of an autoscaled pool, one operation at a time, whole slices, no way past bounds.

    Taking back may go by way of sizes above a bound that somebody else went past.
    """
    watched, _ = run(world)
    modes = {p.name: p.mode.value for p in world.policy.pools}
    hold_s = watched.plant.spec.operation_s
    last_ok: dict[str, float] = {}
    asked: dict[str, int] = {}
    for call in watched.plant.calls:
        path = call["method"].split()[1]
        name = path.split("/")[-1].split(":")[0].split("-")[0]
        if ":setSize" in path:
            assert modes[name] == "setSize", "resized an autoscaled pool"
        if ":setSize" in path or ":setAutoscaling" in path:
            if name in last_ok:
                assert call["t_s"] - last_ok[name] >= hold_s - 1e-6, "two operations at once"
            if call["status"] == 200:
                last_ok[name] = call["t_s"]
        if "nodeCount" in call["body"]:
            per_unit = world.policy.pool(name).nodes_per_unit
            assert call["body"]["nodeCount"] % per_unit == 0, "part of a slice"
            if call["status"] == 200:
                pool = world.policy.pool(name)
                units = call["body"]["nodeCount"] * max(1, len(pool.zones)) // per_unit
                assert units <= max(pool.limit_units(), asked.get(name, units)), "past the bound"
                asked[name] = units
