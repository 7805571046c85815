"""The planner as its users see it: when it goes up, when down, when not, and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.observe.observation import Demand, Observation
from autoscaler.policy.model import load_policy
from autoscaler.sizing.decision import Reason
from autoscaler.sizing.fleet import PlannerFleet
from autoscaler.sizing.planner import Planner
from tests.autoscaler.sizing.builders import Fleet, demand, fleet, policy_of

SPOT = {"name": "spot", "spot": True, "pricePerUnitHour": 1.0}
ON_DEMAND = {"name": "owned", "pricePerUnitHour": 3.0}


def test_demand_that_is_here_is_met_at_once() -> None:
    live = fleet(policy_of())
    live.run(2.0, 20)
    decision = live.tick(demand(2.0, queued=600.0))
    assert decision.reason is Reason.REACTIVE
    assert decision.total() > live.sizes()[-2]
    assert decision.inputs["backlog_work_s"] > 0


def test_a_constant_load_is_left_alone() -> None:
    """No reversal, and no drift: the size of the second hour is that of the sixth."""
    live = fleet(policy_of())
    live.run(8.0, 360)
    sizes = live.sizes()[240:]
    assert set(sizes) == {sizes[0]}
    assert 9 <= sizes[0] <= 11


def test_going_down_waits_a_third_of_a_window_and_takes_a_quarter_a_minute_at_most() -> None:
    live = fleet(policy_of())
    live.run(20.0, 60)
    before = live.sizes()[-1]
    live.run(3.0, 4)
    assert min(live.sizes()[-16:]) == before
    live.run(3.0, 60)
    sizes = live.sizes()
    assert sizes[-1] <= 6
    for earlier, later in zip(sizes[:-4], sizes[4:], strict=True):
        assert later >= earlier - max(1, earlier // 4)


def test_a_size_is_not_left_for_less_than_arrivals_vary() -> None:
    """Down by 7 %: at once where arrivals are even, not where each tick is a fifth up or down."""

    def after(swing: float) -> tuple[int, int]:
        live = fleet(policy_of())
        for index in range(240 * 6 + 240):
            level = 20.0 if index < 240 * 6 else 18.6
            live.tick(demand(level * (1.0 + (swing if index % 2 else -swing))))
        return live.sizes()[240 * 6 - 1], live.sizes()[-1]

    before, later = after(0.0)
    assert later < before
    before, later = after(0.2)
    assert later == before


@pytest.mark.parametrize("minutes", [1, 30, 300])
def test_what_is_not_known_takes_nothing_away(minutes: int) -> None:
    live = fleet(policy_of())
    live.run(10.0, 60)
    before = live.sizes()[-1]
    decision = live.run(None, minutes)
    assert (decision.total(), decision.reason) == (before, Reason.STALE)
    live.run(1.0, 14)
    assert live.sizes()[-1] == before  # the window begins anew after a gap


def test_a_pool_that_is_missing_from_the_observation_is_not_gone() -> None:
    live = fleet(policy_of({"name": "x"}, {"name": "y", "pricePerUnitHour": 2.0}))
    live.run(10.0, 60)
    before = dict(live.decisions[-1].replicas)
    for _ in range(200):
        decision = live.tick(demand(0.5), supply={"y": live.supply()["y"]})
        assert decision.replicas == before


def test_a_cheaper_pool_that_opens_while_nothing_is_known_takes_nothing_away() -> None:
    """At its cap the fleet could only move there by giving up what serves."""
    cheap = {"name": "cheap", "pricePerUnitHour": 0.2}
    live = fleet(policy_of(cheap, ON_DEMAND, model={"maxReplicas": 6}))
    live.stockout.add("cheap")
    live.run(20.0, 40)
    assert live.ready["owned"] == 6
    live.stockout.clear()
    live.run(None, 10)
    assert live.ready == {"owned": 6, "cheap": 0}


def test_before_any_pool_is_seen_nothing_is_said_of_sizes() -> None:
    """A first observation without supply must not shrink a fleet that is there."""
    live = fleet(policy_of())
    decision = live.tick(demand(3.0), supply={})
    assert (dict(decision.replicas), decision.reason) == ({}, Reason.STALE)


def test_an_announced_event_is_ready_for_when_it_opens() -> None:
    """The floor is ordered a lead time ahead, across midnight."""
    night = {"name": "batch", "start": "00:30", "end": "02:00", "minReplicas": 9}
    live = fleet(policy_of(model={"schedules": [night]}))
    live.run(1.0, 22)
    assert live.sizes()[-1] < 9
    live.run(1.0, 8)
    assert live.now_s == 1800.0
    assert live.ready["a"] == 9


def test_floor_and_cap_hold() -> None:
    live = fleet(policy_of(model={"minReplicas": 3, "maxReplicas": 5}))
    assert live.run(0.1, 5).total() == 3
    capped = live.run(50.0, 10)
    assert (capped.total(), capped.reason) == (5, Reason.CAP)


def test_the_budget_is_never_overspent() -> None:
    live = fleet(policy_of({"pricePerUnitHour": 4.0}, budgetPerHour=30))
    decision = live.run(50.0, 10)
    assert (decision.total(), decision.reason) == (7, Reason.BUDGET)
    assert decision.inputs["cost_per_hour"] == 28.0


def test_a_quota_bounds_what_is_added() -> None:
    live = fleet(policy_of())
    live.quota["a"] = 6
    decision = live.run(20.0, 30)
    assert (decision.total(), decision.reason) == (6, Reason.QUOTA)


def test_a_quota_that_falls_below_what_serves_takes_nothing_back() -> None:
    """What the provider would not give again is the last thing to give up; demand may, later."""
    live = fleet(policy_of())
    live.run(20.0, 30)
    before = live.ready["a"]
    live.quota["a"] = 6
    decision = live.run(20.0, 1)
    assert decision.total() == before
    between = live.run(10.0, 40).total()
    assert 6 < between < before
    decision = live.run(20.0, 5)  # what demand let go does not come back
    assert (decision.total(), decision.reason) == (between, Reason.QUOTA)


def test_orders_that_a_fallen_quota_cannot_fill_are_withdrawn() -> None:
    live = fleet(policy_of())
    live.run(8.0, 30)
    live.run(20.0, 1)
    live.quota["a"] = 6
    assert live.run(20.0, 1).total() == live.ready["a"]


def test_slices_are_bought_and_returned_whole() -> None:
    pool = {"kind": "tpu", "replicasPerUnit": 4, "nodesPerUnit": 4}
    live = fleet(policy_of(pool))
    live.run(10.0, 60)
    live.run(2.0, 90)
    assert all(size % 4 == 0 for size in live.sizes())
    assert live.sizes()[-1] == 4  # a step smaller than a slice must not be rounded back up


def test_a_pool_that_cannot_deliver_hands_its_share_to_the_next() -> None:
    live = fleet(policy_of(SPOT, ON_DEMAND, model={"class": "batch"}))
    live.run(2.0, 40)
    live.stockout.add("spot")
    decision = live.run(12.0, 2)
    assert decision.replicas["spot"] == live.ready["spot"]
    assert decision.replicas["owned"] >= 10
    assert Reason.STOCKOUT in {d.reason for d in live.decisions[-8:]}


def test_scarce_capacity_is_not_given_back_soon() -> None:
    live = fleet(policy_of())
    live.run(10.0, 30)
    live.stockout.add("a")
    live.run(10.0, 5)
    live.stockout.clear()
    before = live.ready["a"]
    live.run(1.0, 55)
    assert live.ready["a"] == before
    live.run(1.0, 30)
    assert live.ready["a"] < before


def hourly(live: Fleet, hours: int) -> list[int]:
    """Sizes in the second half of hours whose first half needs three times as much."""
    found: list[int] = []
    for _ in range(hours):
        live.run(9.0, 30)
        live.run(3.0, 30)
        found.append(min(live.sizes()[-40:]))
    return found


@pytest.mark.parametrize(
    ("pools", "scarce"),
    [
        pytest.param([{}], True, id="the only pool"),
        pytest.param([{}, {"name": "b", "pricePerUnitHour": 1.1}], False, id="another delivers"),
    ],
)
def test_what_comes_back_on_the_hour_is_kept_while_capacity_is_scarce(
    pools: list[dict[str, Any]], scarce: bool
) -> None:
    """A peak that was given back could not be had again when its hour comes."""
    live = fleet(policy_of(*pools))
    hourly(live, 9)
    live.stockout.add("a")
    live.run(9.0, 5)
    live.stockout.clear()
    assert (min(hourly(live, 2)) >= 13) is scarce


def test_the_rest_of_a_node_counts_towards_the_window() -> None:
    """The cluster autoscaler keeps an empty node: a replica that comes back finds it."""
    left: dict[str, int] = {}
    for mode in ("setSize", "buffer"):
        live = fleet(policy_of({"mode": mode}))
        live.run(9.0, 60)
        live.run(12.0, 12)  # a way up, after which a window passes before anything goes
        live.run(3.0, 6)
        left[mode] = live.sizes()[-1]
    assert left["buffer"] < left["setSize"]


def test_the_only_pool_keeps_its_orders_through_a_stockout() -> None:
    """Withdrawing them would only lose the place in the queue."""
    live = fleet(policy_of())
    live.run(4.0, 30)
    live.stockout.add("a")
    ordered = live.run(4.0, 1).total()
    assert live.run(8.0, 10).total() == ordered


def test_today_survives_the_loss_of_any_one_spot_pool() -> None:
    live = fleet(policy_of(SPOT, {**SPOT, "name": "spot-2", "pricePerUnitHour": 1.2}, ON_DEMAND))
    decision = live.run(10.0, 60)
    needed = decision.inputs["survive_reference_replicas"]
    assert needed > 10
    for lost in ("spot", "spot-2"):
        left = sum(n for pool, n in decision.replicas.items() if pool != lost)
        assert left >= needed - 1e-6
    assert decision.replicas["owned"] == 0  # two spot pools insure each other, at a third


def test_nothing_goes_before_its_replacement_is_ready() -> None:
    """A cheaper pool opens: of the dear replicas what is needed stays till they serve."""
    live = fleet(policy_of({**SPOT, "spot": False}, ON_DEMAND))
    live.quota["spot"] = 0
    live.run(10.0, 40)
    dear = live.ready["owned"]
    del live.quota["spot"]
    for _ in range(4 * 30):
        needed = live.tick(demand(10.0)).inputs["needed_reference_replicas"]
        assert live.ready["owned"] + live.ready.get("spot", 0) >= needed > dear - 2
    assert live.decisions[-1].replicas == {"spot": dear, "owned": 0}


def test_the_last_replica_goes_when_waiting_cost_more_than_a_cold_start() -> None:
    sleepy = {"minReplicas": 0, "scaleToZero": {"enabled": True}}
    live = fleet(policy_of(model=sleepy))
    live.run(0.5, 10)
    assert live.run(0.0, 20).total() == 1
    asleep = live.run(0.0, 30)
    assert asleep.total() == 0
    assert Reason.IDLE in {decision.reason for decision in live.decisions}
    woken = live.tick(demand(0.0, queued=1.0))
    assert (woken.total(), woken.reason) == (1, Reason.WAKE)


def test_the_first_request_ever_wakes_a_model_whose_sizes_nobody_knows() -> None:
    sleepy = {"minReplicas": 0, "scaleToZero": {"enabled": True}}
    live = fleet(policy_of(model=sleepy))
    nothing = Demand(window_s=15.0, arrivals_rps=0.0, queued_requests=0.0)
    assert live.tick(nothing).total() == 0
    waiting = Demand(window_s=15.0, arrivals_rps=0.07, queued_requests=1.0)
    decision = live.tick(waiting)
    assert (decision.total(), decision.reason) == (1, Reason.WAKE)


def test_off_and_the_kill_switch_leave_what_is_there() -> None:
    for rest in ({"mode": "off"}, {"safety": {"killSwitch": True}}):
        live = fleet(policy_of(**rest))
        live.ready["a"] = 7
        decision = live.run(50.0, 3)
        assert (decision.total(), decision.reason) == (7, Reason.OFF)


def test_lead_times_are_learned_and_the_horizon_follows() -> None:
    live = fleet(policy_of(), lead_s=90.0)
    for hour in range(16):
        live.run(20.0 if hour % 2 else 4.0, 40)
    inputs = live.decisions[-1].inputs
    assert inputs["lead_time_p90_s"] < 150
    assert inputs["horizon_s"] <= 300


def test_after_weeks_of_absence_the_forecast_begins_anew_at_the_right_minute() -> None:
    live = fleet(policy_of())
    live.run(5.0, 30)
    live.now_s += 40 * 86_400.0 + 3600.0
    live.run(5.0, 5)
    estimator = live.planner.estimator
    assert estimator._forecaster is not None
    assert estimator._forecaster.next_minute == live.planner.history.closed
    assert live.planner.history.closed == live.now_s // 60


def test_violations_buy_headroom_and_quiet_gives_it_back() -> None:
    live = fleet(policy_of())
    live.run(10.0, 30)
    calm = live.run(10.0, 30, violating=0.0).inputs["headroom"]
    hurt = live.run(10.0, 10, violating=0.5).inputs["headroom"]
    assert calm < 0 < hurt
    assert hurt == pytest.approx(calm + 10 * 0.014, abs=0.015)  # less what has passed already


def test_restarting_finds_the_fleet_as_it_is() -> None:
    live = fleet(policy_of())
    live.run(12.0, 60)
    again = Fleet(
        Planner.of(live.planner.policy, "chat", history=live.planner.history),
        now_s=live.now_s,
        ready=dict(live.ready),
    )
    first = again.tick(demand(1.0))
    assert first.total() == live.sizes()[-1]


def test_models_share_a_quota_and_the_interactive_come_first() -> None:
    policy = load_policy(
        {
            "mode": "active",
            "models": [{"name": "batch", "class": "batch"}, {"name": "chat"}],
            "pools": [{"name": "a", "maxUnits": 20}],
        }
    )
    planners = PlannerFleet.of(policy)
    fleets = {name: Fleet(planner) for name, planner in planners.planners.items()}

    def tick(works: dict[str, float | None]) -> dict[str, int]:
        seen = {}
        for name, each in fleets.items():
            each.now_s += 15.0
            seen[name] = Observation(
                now_s=each.now_s, model=name, demand=demand(works[name]), supply=each.supply()
            )
        decided = planners.decide(seen)
        for name, each in fleets.items():
            each.ready.update(decided[name].replicas)
        return {name: decision.total() for name, decision in decided.items()}

    assert tick({"batch": 30.0, "chat": 2.0})["batch"] >= 16
    sizes = tick({"batch": 30.0, "chat": 9.0})
    for _ in range(20):
        sizes = tick({"batch": 30.0, "chat": 9.0})
        assert sum(sizes.values()) <= 20
    assert sizes["chat"] >= 9
    held = tick({"batch": None, "chat": 19.0})
    assert held["batch"] == sizes["batch"]  # whose demand is not known gives nothing up
    assert sum(held.values()) <= 20
