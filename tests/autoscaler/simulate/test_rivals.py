"""The rivals: each does what it is known for, and none leaves its bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autoscaler.simulate.catalog import CONTROLLERS, OURS
from autoscaler.simulate.demand import DemandSeries, of_rates
from autoscaler.simulate.rivals.dynamo import Trend
from autoscaler.simulate.rivals.oracle import _highest_ahead
from autoscaler.simulate.scenario import Scenario
from tests.autoscaler.simulate.builders import RPS_OF_REPLICA, constant, plant_spec, policy

HOUR_STEPS = 720


def rising(hours: float) -> DemandSeries:
    """From 4 to 12 replicas' worth and back."""
    steps = round(hours * HOUR_STEPS)
    up = 4 + 8 * np.sin(np.pi * np.arange(steps) / steps)
    return of_rates(up * RPS_OF_REPLICA)


def scenario(demand: DemandSeries, **more: object) -> Scenario:
    return Scenario(plant=plant_spec(**more), policy=policy(maxReplicas=30), demand=demand)


@pytest.mark.parametrize("name", [name for name in CONTROLLERS if name != OURS])
def test_a_rival_stays_within_bounds_and_repeats_itself(name: str) -> None:
    world = scenario(rising(1.5))
    once, again = world.outcome(name), world.outcome(name)
    assert once.document() == again.document()
    sizes = [sum(d["replicas"].values()) for d in once.decisions]
    assert all(1 <= size <= 30 for size in sizes)
    assert once.requests == pytest.approx(float(world.demand.rate_rps.sum()) * 5)


@pytest.mark.parametrize("name", [name for name in CONTROLLERS if name != OURS])
def test_a_rival_does_nothing_while_metrics_are_missing(name: str) -> None:
    if name in ("static", "oracle"):
        pytest.skip("it looks at no metric")
    faults = [{"kind": "metricsGap", "at": 0, "duration": "2h"}]
    world = scenario(constant(3 * RPS_OF_REPLICA, 3600), faults=faults, initialReplicas=6)
    sizes = {sum(d["replicas"].values()) for d in world.outcome(name).decisions}
    assert sizes == {6}


def test_the_oracle_is_cheaper_than_what_it_knows_no_more_than() -> None:
    world = scenario(rising(5))
    oracle, arrivals = world.outcome("oracle"), world.outcome("hpa-rate")
    assert oracle.violation_fraction < 0.005
    assert oracle.cost < arrivals.cost


def test_a_queue_that_is_empty_scales_to_the_minimum() -> None:
    """Nothing waits until it is too late: the classic trap of scaling on the queue alone."""
    world = scenario(constant(5 * RPS_OF_REPLICA, 7200), initialReplicas=10)
    made = world.outcome("hpa-queue")
    assert min(sum(d["replicas"].values()) for d in made.decisions) == 1
    assert made.violation_fraction > 0.2


def test_completions_for_demand_spiral_down() -> None:
    """A fleet that is too small completes little, which looks like little demand."""
    plant = {"replica": {"capacityFactor": 0.75}, "initialReplicas": 6}
    world = scenario(constant(6 * RPS_OF_REPLICA, 4 * 3600), **plant)
    assert world.outcome("wva-old", 1.0).violation_fraction > 0.9
    assert world.outcome("hpa-rate", 0.65).violation_fraction < 0.2


def test_arrivals_with_a_good_target_keep_the_objective() -> None:
    world = scenario(constant(6 * RPS_OF_REPLICA, 7200), initialReplicas=8)
    made = world.outcome("hpa-rate", 0.8)
    assert made.violation_fraction == pytest.approx(0, abs=1e-3)
    assert {sum(d["replicas"].values()) for d in made.decisions} == {8}  # within the tolerance


def test_a_trend_is_followed_one_interval_ahead() -> None:
    trend = Trend()
    for value in (10, 12, 14, 16, 18, 20, 22, 24):
        trend.update(value)
    assert trend.ahead() == pytest.approx(26, abs=1.0)


def test_the_highest_ahead_is_that_of_a_plain_search() -> None:
    values = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5])
    for seconds in (0, 5, 12, 20, 33, 500):
        n = min(max(1, math.ceil(seconds / 5) + 1), len(values))
        plain = [int(values[i : i + n].max()) for i in range(len(values))]
        assert _highest_ahead(values, seconds).tolist() == plain
