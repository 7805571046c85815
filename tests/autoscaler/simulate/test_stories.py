"""The policy's own controller on plants where one thing happens, from beginning to end."""

from __future__ import annotations

import numpy as np
import pytest

from autoscaler.simulate.demand import of_rates
from autoscaler.simulate.record import Outcome
from autoscaler.simulate.scenario import Scenario
from tests.autoscaler.simulate.builders import RPS_OF_REPLICA, constant, plant_spec, policy


def sizes(made: Outcome) -> dict[int, int]:
    """The size asked for at each full minute."""
    return {
        round(d["t_s"]) // 60: sum(d["replicas"].values())
        for d in made.decisions
        if d["t_s"] % 60 == 0
    }


def test_a_constant_load_is_served_without_a_turn() -> None:
    world = Scenario(
        plant=plant_spec(initialReplicas=9),
        policy=policy(maxReplicas=30),
        demand=constant(6 * RPS_OF_REPLICA, 4 * 3600),
    )
    made = world.outcome()
    asked = [n for _, n in made.sizes]
    assert asked == sorted(asked, reverse=True), "down to what it needs, and never up again"
    assert made.violation_fraction < 0.002


def test_what_a_queue_took_to_clear_is_not_held_once_it_is_gone() -> None:
    """The fleet for the backlog goes at once; the fleet for the demand stays."""
    steps = 3 * 720
    rates = np.full(steps, 5 * RPS_OF_REPLICA)
    rates[720:] *= 3
    world = Scenario(
        plant=plant_spec(initialReplicas=7), policy=policy(maxReplicas=60), demand=of_rates(rates)
    )
    made = world.outcome()
    size = sizes(made)
    most = max(size.values())
    cleared = max(i for i, m in enumerate(made.minutes) if m.queue > 0) + 1
    assert most >= 30
    assert cleared - 60 <= 12, "the lead time and some minutes"
    assert 17 <= size[cleared + 8] <= 0.75 * most


def test_a_size_is_kept_while_nothing_is_known() -> None:
    faults = [{"kind": "metricsGap", "at": "40m", "duration": "1h"}]
    world = Scenario(
        plant=plant_spec(initialReplicas=12, faults=faults),
        policy=policy(maxReplicas=30),
        demand=constant(6 * RPS_OF_REPLICA, 2 * 3600),
    )
    size = sizes(world.outcome())
    in_the_gap = {size[minute] for minute in range(42, 100)}
    assert len(in_the_gap) == 1
    assert size[119] <= 9, "and goes down once it is known again"


@pytest.mark.parametrize("factor", [0.75, 1.25])
def test_a_wrong_profile_is_found_out(factor: float) -> None:
    world = Scenario(
        plant=plant_spec(initialReplicas=8, replica={"capacityFactor": factor}, noiseCv=0.05),
        policy=policy(maxReplicas=30, profile={}),
        demand=constant(8 * RPS_OF_REPLICA, 12 * 3600),
    )
    recorder, _ = world.recorded()
    late = [m.late / m.arrived for m in recorder.minutes[360:]]
    assert np.mean(late) < 0.01
    assert recorder.minutes[-1].replicas_ready <= np.ceil(8 / factor / 0.92) + 4


def test_a_fleet_larger_than_its_policy_allows_comes_down_to_what_it_allows() -> None:
    """As in a cluster whose maximum has just been lowered: it bounds orders, not what is there."""
    world = Scenario(
        plant=plant_spec({"name": "a", "initialUnits": 9}),
        policy=policy({"name": "a", "mode": "setSize", "maxUnits": 4}),
        demand=constant(6 * RPS_OF_REPLICA, 3600),
    )
    made = world.outcome().document()
    nodes = [minute["nodes"] for minute in made["minutes"]]
    assert (max(nodes), nodes[-1]) == (nodes[0], 4)
    assert nodes[0] > 4
    assert made["minutes"][-1]["replicas_ready"] == 4


def test_what_is_ordered_of_the_only_pool_with_a_quota_stands_in_a_stockout() -> None:
    """The other pool may have nothing, so there is nowhere to move the order: the floor stays."""
    world = Scenario(
        plant=plant_spec(
            {"name": "a", "initialUnits": 3},
            {"name": "b", "quota": 0},
            faults=[
                {"kind": "stockout", "at": 300, "duration": 1800, "pool": "a"},
                {"kind": "preempt", "at": 305, "pool": "a"},
            ],
        ),
        policy=policy(
            {"name": "a", "mode": "setSize"}, {"name": "b", "mode": "setSize"}, minReplicas=3
        ),
        demand=constant(RPS_OF_REPLICA, 3600),
    )
    made = world.outcome().document()
    assert min(sum(d["replicas"].values()) for d in made["decisions"]) == 3
    assert made["minutes"][-1]["replicas_ready"] >= 3
