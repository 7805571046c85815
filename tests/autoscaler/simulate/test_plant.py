"""The plant: lead times, billing, faults, and what the provider is asked and answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.capacity.work import WorkModel
from autoscaler.simulate.plant import Plant
from autoscaler.simulate.pools import Owner
from autoscaler.simulate.run import run
from autoscaler.simulate.scenario import Scenario
from autoscaler.simulate.truth import informed
from tests.autoscaler.simulate.builders import (
    RPS_OF_REPLICA,
    Scripted,
    constant,
    passed,
    plant,
    plant_spec,
    policy,
)


def ready(world: Plant, pool: str = "a") -> int:
    return world.tallies[pool].ready


def nodes(world: Plant, pool: str = "a") -> int:
    return world.providers[pool].fleet.billed_units()


def asked(world: Plant, word: str = "setSize") -> list[tuple[float, Any, int]]:
    return [(c["t_s"], c["body"], c["status"]) for c in world.calls if word in c["method"]]


def test_a_replica_takes_a_node_and_a_pod_to_come() -> None:
    world = plant(plant_spec(initialReplicas=2))
    passed(world, 60)
    world.obey({"a": 3})
    passed(world, 65)
    assert (ready(world), nodes(world)) == (2, 3)
    passed(world, 65 + 240 + 145)
    assert ready(world) == 2
    passed(world, 65 + 240 + 150)
    assert ready(world) == 3
    assert asked(world) == [(65.0, {"nodeCount": 3}, 200)]


def test_a_pod_on_a_node_that_is_there_is_quicker() -> None:
    world = plant(plant_spec(initialReplicas=3))
    world.obey({"a": 2})
    passed(world, 100)
    world.obey({"a": 3})
    passed(world, 185)
    assert ready(world) == 2
    passed(world, 190)
    assert (ready(world), asked(world)) == (3, [])


def test_a_replica_drains_and_its_own_node_goes_after_two_minutes_of_rest() -> None:
    world = plant(plant_spec(initialReplicas=3))
    world.obey({"a": 2})
    passed(world, 5)
    assert (ready(world), world.tallies["a"].draining) == (2, 1)
    passed(world, 175)
    assert nodes(world) == 3
    passed(world, 180)
    assert nodes(world) == 2
    assert asked(world) == [(180.0, {"nodeCount": 2}, 200)]


def test_the_cluster_autoscaler_takes_ten_minutes_and_is_not_our_call() -> None:
    world = plant(plant_spec(initialReplicas=3), owner=Owner(owns_nodes=False))
    world.obey({"a": 2})
    passed(world, 655)
    assert nodes(world) == 3
    passed(world, 660)
    assert (nodes(world), asked(world)) == (2, [])


def test_what_is_not_needed_any_more_is_given_back_before_it_is_there() -> None:
    world = plant(plant_spec(initialReplicas=2))
    passed(world, 60)
    world.obey({"a": 6})
    passed(world, 100)
    world.obey({"a": 2})
    passed(world, 140)
    assert nodes(world) == 2
    assert [body for _, body, _ in asked(world)] == [{"nodeCount": 6}, {"nodeCount": 2}]


def test_one_operation_holds_its_pool_against_the_next() -> None:
    world = plant(plant_spec(initialReplicas=2, operationTime="60s"))
    passed(world, 60)
    world.obey({"a": 3})
    passed(world, 75)
    world.obey({"a": 5})
    passed(world, 200)
    assert asked(world) == [(65.0, {"nodeCount": 3}, 200), (125.0, {"nodeCount": 5}, 200)]


def test_a_hidden_quota_is_learned_by_being_refused() -> None:
    world = plant(plant_spec({"quota": 3, "quotaHidden": True}, initialReplicas=3))
    passed(world, 60)
    assert world.observe().supply["a"].quota_units is None
    world.obey({"a": 5})
    passed(world, 65)
    assert asked(world) == [(65.0, {"nodeCount": 5}, 403)]
    assert world.observe().supply["a"].quota_units == 3
    passed(world, 600)
    assert nodes(world) == 3
    passed(world, 1900)  # what was learned is doubted after half an hour
    assert asked(world)[1:] == [(1865.0, {"nodeCount": 5}, 403)]


def test_a_stockout_shows_after_a_minute_and_delivers_when_it_is_over() -> None:
    faults = [{"kind": "stockout", "at": 0, "duration": "20m"}]
    world = plant(plant_spec(initialReplicas=2, faults=faults))
    passed(world, 60)
    world.obey({"a": 4})
    passed(world, 90)
    assert not world.observe().supply["a"].stockout
    passed(world, 130)
    supply = world.observe().supply["a"]
    assert (supply.stockout, supply.units_starting, nodes(world)) == (True, 2, 2)
    passed(world, 1200 + 390)
    assert ready(world) == 4


def test_given_up_capacity_may_come_late_and_is_returned() -> None:
    faults = [{"kind": "stockout", "at": 0, "duration": "20m", "late": True}]
    world = plant(plant_spec(initialReplicas=2, faults=faults))
    passed(world, 60)
    world.obey({"a": 4})
    passed(world, 300)
    world.obey({"a": 2})
    passed(world, 1300)
    assert nodes(world) == 2
    assert [(t, body["nodeCount"]) for t, body, _ in asked(world)] == [
        (65.0, 4), (305.0, 2), (1200.0, 2),
    ]  # fmt: skip


def test_a_preempted_replica_is_made_again_elsewhere() -> None:
    faults = [{"kind": "preempt", "at": 60, "units": 1}]
    world = plant(plant_spec(initialReplicas=3, faults=faults))
    passed(world, 60)
    assert ready(world) == 2
    passed(world, 60 + 390 + 5)
    assert ready(world) == 3


def test_a_slice_with_a_node_missing_serves_nothing_until_it_is_whole() -> None:
    faults = [{"kind": "nodeLoss", "at": 60, "units": 1}]
    world = plant(
        plant_spec({"replicasPerUnit": 4, "nodesPerUnit": 4}, initialReplicas=8, faults=faults)
    )
    passed(world, 60)
    supply = world.observe().supply["a"]
    assert (supply.replicas_ready, supply.units_ready, supply.units_starting) == (4, 1, 1)
    passed(world, 60 + 240 + 150)
    assert ready(world) == 8


def test_another_operation_is_waited_for() -> None:
    faults = [{"kind": "conflict", "at": 60, "duration": "5m"}]
    world = plant(plant_spec(initialReplicas=2, faults=faults))
    passed(world, 60)
    world.obey({"a": 3})
    passed(world, 500)
    assert asked(world) == [(65.0, {"nodeCount": 3}, 400), (360.0, {"nodeCount": 3}, 200)]


def test_errors_are_retried_ever_more_slowly() -> None:
    faults = [{"kind": "apiError", "at": 60, "duration": "2m", "status": 429}]
    world = plant(plant_spec(initialReplicas=2, faults=faults))
    passed(world, 60)
    world.obey({"a": 3})
    passed(world, 500)
    assert [(t, status) for t, _, status in asked(world)] == [
        (65.0, 429), (80.0, 429), (110.0, 429), (170.0, 429), (290.0, 200),
    ]  # fmt: skip


def test_a_regional_pool_is_resized_by_the_zone() -> None:
    world = plant(plant_spec({"zones": ["x", "y"]}, initialReplicas=2))
    passed(world, 60)
    world.obey({"a": 3})
    passed(world, 65)
    assert asked(world) == [(65.0, {"nodeCount": 2}, 200)]
    assert sorted(u.zone for u in world.providers["a"].fleet.units) == ["x", "x", "y", "y"]


@pytest.mark.parametrize(
    ("mode", "method", "body"),
    [
        ("buffer", "PATCH capacitybuffers/a", {"spec": {"replicas": 3}}),
        (
            "computeClass",
            "PATCH computeclasses/a",
            {"spec": {"minimumCapacity": {"targetNodeCount": 3}}},
        ),
        ("placeholder", "PATCH deployments/a-placeholder/scale", {"spec": {"replicas": 3}}),
        (
            "floor",
            "POST nodePools/a:setAutoscaling",
            {"autoscaling": {"enabled": True, "totalMinNodeCount": 3}},
        ),
    ],
)
def test_an_autoscaled_pool_is_never_resized(mode: str, method: str, body: Any) -> None:
    world = plant(plant_spec(initialReplicas=2), said=policy({"name": "a", "mode": mode}))
    passed(world, 60)
    world.obey({"a": 3})
    passed(world, 600)
    assert ready(world) == 3
    assert asked(world) == []
    assert [(c["method"], c["body"]) for c in world.calls if c["api"] != "autoscaling/v2"] == [
        (method, body)
    ]


def test_calls_name_the_workload_that_the_policy_names() -> None:
    target = {"name": "chat", "hpa": "chat-hpa"}
    said = policy(
        {"name": "a", "mode": "setSize"}, {"name": "b"}, variants=[{"pool": "a", "target": target}]
    )
    world = plant(plant_spec({"name": "a", "initialUnits": 2}, {"name": "b"}), said=said)
    for wanted in ({"a": 3, "b": 1}, {"a": 0, "b": 1}):
        world.obey(wanted)
    assert [(c["method"], c["body"]["spec"]) for c in world.calls] == [
        ("PATCH horizontalpodautoscalers/chat-hpa", {"minReplicas": 3}),
        ("PATCH horizontalpodautoscalers/m-b", {"minReplicas": 1}),
        ("PATCH deployments/chat/scale", {"replicas": 0}),
    ]


def test_advice_changes_nothing() -> None:
    world = plant(plant_spec(initialReplicas=2), writes=False)
    passed(world, 60)
    assert world.obey({"a": 9}) is False
    passed(world, 600)
    assert (world.calls, ready(world)) == ([], 2)


def test_advice_writes_nothing_while_the_group_makes_again_what_it_lost() -> None:
    """Somebody resizes the pool, a node is lost: whoever only advises calls nobody for either."""
    faults = [
        {"kind": "preempt", "at": 60, "units": 1},
        {"kind": "resize", "at": 120, "pool": "a", "units": 5},
    ]
    world = plant(plant_spec(initialReplicas=2, faults=faults), writes=False)
    passed(world, 65)
    assert ready(world) == 1
    passed(world, 1200)
    assert (world.calls, ready(world)) == ([], 2)


def test_a_rivals_floor_is_an_operation_that_holds_the_pool_too() -> None:
    said = policy({"name": "a", "mode": "setSize"})
    world = plant(
        plant_spec(initialReplicas=2, operationTime=120), said=said, owner=Owner(owns_nodes=False)
    )
    for n in range(3, 9):
        world.obey({"a": n})
        passed(world, world.now_s + 15)
    floors = asked(world, "setAutoscaling")
    assert [t for t, _, _ in floors] == [0.0]
    passed(world, 135)
    world.obey({"a": 9})
    assert [t for t, _, _ in asked(world, "setAutoscaling")] == [0.0, 135.0]


def test_a_zone_more_is_not_a_way_past_the_bound() -> None:
    """Five units in two zones are six or four."""
    said = policy({"name": "a", "mode": "setSize", "maxUnits": 5, "zones": ["x", "y"]})
    world = plant(plant_spec(initialReplicas=2), said=said)
    passed(world, 60)
    world.obey({"a": 5})
    passed(world, 600)
    assert asked(world) == [(65.0, {"nodeCount": 2}, 200)]


def test_nothing_that_serves_is_taken_to_keep_zones_equal() -> None:
    said = policy({"name": "a", "mode": "setSize", "maxUnits": 3, "zones": ["x", "y"]})
    world = plant(plant_spec({"initialUnits": 3}), said=said)
    passed(world, 60)
    world.obey({"a": 4})
    passed(world, 600)
    assert (asked(world), ready(world)) == ([], 3)


def test_nobody_gets_more_than_the_quota() -> None:
    faults = [{"kind": "resize", "at": 60, "pool": "a", "units": 9}]
    world = plant(plant_spec({"quota": 4}, initialReplicas=2, faults=faults), writes=False)
    passed(world, 70)
    assert nodes(world) == 4


def test_a_slow_pool_slows_only_itself() -> None:
    said = policy({"name": "a"}, {"name": "b"})
    faults = [{"kind": "capacity", "at": 60, "duration": 60, "pool": "b", "factor": 0.5}]
    spec = plant_spec(
        {"name": "a", "initialUnits": 2}, {"name": "b", "initialUnits": 2}, faults=faults
    )
    world = plant(spec, said=said)
    speeds = [world.step().ready_speed for _ in range(30)]
    assert (speeds[0], speeds[15], speeds[-1]) == (4.0, 3.0, 4.0)


def test_metrics_come_late_and_gaps_are_not_zero() -> None:
    faults = [{"kind": "metricsGap", "at": 300, "duration": "60s"}]
    world = plant(plant_spec(faults=faults), constant(20, 3600))
    passed(world, 15)
    assert world.observe().demand.arrivals_rps is None
    passed(world, 60)
    assert world.observe().demand.arrivals_rps == pytest.approx(20)
    passed(world, 330)
    seen = world.observe()
    assert (seen.demand.arrivals_rps, seen.supply["a"].utilization) == (None, None)
    passed(world, 375)
    assert world.observe().demand.arrivals_rps == pytest.approx(20)


def test_the_real_hpa_stands_over_the_floor() -> None:
    world = plant(
        plant_spec(initialReplicas=2, backstop={"load": 0.8}), constant(6 * RPS_OF_REPLICA, 3600)
    )
    passed(world, 60)
    world.obey({"a": 2})
    passed(world, 600)
    assert world.tallies["a"].wanted == 8  # 6 / 0.8, rounded up
    world.obey({"a": 11})
    passed(world, 620)
    assert world.tallies["a"].wanted == 11


def test_the_same_seed_gives_the_same_run() -> None:
    def once(seed: int) -> tuple[list[Any], float]:
        spec = plant_spec(
            {"nodeLeadTime": "240s", "hazardPerHour": 0.5}, noiseCv=0.1, initialReplicas=4
        )
        world = plant(spec, constant(25, 7200), seed=seed)
        recorder = run(world, Scripted({0: {"a": 4}, 1800: {"a": 7}, 3600: {"a": 3}}))
        return world.calls, sum(m.node_s for m in recorder.minutes)

    assert once(3) == once(3)
    assert once(3) != once(4)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    per_unit=st.sampled_from([1, 1, 4]),
    seed=st.integers(0, 5),
    mode=st.sampled_from(["setSize", "buffer"]),
    faults=st.lists(
        st.tuples(
            st.sampled_from(["preempt", "nodeLoss", "stockout", "undo", "conflict", "apiError"]),
            st.integers(0, 3000),
        ),
        max_size=4,
    ),
)
def test_counts_agree_with_the_units_whatever_happens(
    sizes: list[int], per_unit: int, seed: int, mode: str, faults: list[tuple[str, int]]
) -> None:
    lasting = {"stockout", "conflict", "apiError"}
    written = [
        {"kind": kind, "at": at, "pool": "a", **({"duration": 300} if kind in lasting else {})}
        for kind, at in faults
    ]
    spec = plant_spec(
        {"replicasPerUnit": per_unit, "quota": 3 if per_unit == 4 else 10}, faults=written
    )
    world = plant(spec, constant(20, 4000), policy({"name": "a", "mode": mode}), seed)
    fleet, tally = world.providers["a"].fleet, world.tallies["a"]
    quota = world.providers["a"].pool.quota_units
    assert quota is not None
    for index, size in enumerate(sizes):
        world.obey({"a": size})
        passed(world, 300.0 * (index + 1))
        pods = [p for u in fleet.units for p in u.pods]
        states = [p.state.name for p in pods]
        assert tally.ready == states.count("READY")
        assert tally.draining == states.count("DRAINING")
        assert tally.ready + tally.starting == size
        assert all(len(u.pods) <= per_unit for u in fleet.units)
        by_state = [u.state.name for u in fleet.units]
        assert (fleet.units_up, fleet.units_starting, fleet.units_asked) == (
            by_state.count("UP"), by_state.count("STARTING"), by_state.count("ASKED"),
        )  # fmt: skip
        assert fleet.units_total() <= quota


def test_what_the_policy_does_not_say_of_a_replica_is_known_from_the_plant() -> None:
    """Three different beliefs in one capacity, and what nobody told: its factor."""
    spec = plant_spec(replica={"throughputRps": 4, "capacityFactor": 0.75})
    silent = policy().models[0]
    told = informed(spec, silent)
    assert told.profile is not None
    assert 1 / WorkModel.of(told.profile).request_s(1100, 200) == pytest.approx(4)
    wrong = policy(profile={"concurrency": 8}).models[0]
    assert informed(spec, wrong) is wrong
    referred = policy(profileRef="llama-3.1-8b/a100-80gbx1").models[0]
    assert informed(spec, referred) is referred


def test_coverage_is_of_the_work_that_the_controller_believes_in() -> None:
    """A plant that says less than the policy's profile must not look like a bad forecast."""
    said = policy(minReplicas=1)
    for replica in ({}, {"throughputRps": 3}, {"capacityFactor": 0.8}):
        scenario = Scenario(
            plant=plant_spec(replica=replica), policy=said, demand=constant(20, 4 * 3600)
        )
        covered = scenario.outcome().coverage
        assert covered is not None
        assert covered > 0.9, replica
