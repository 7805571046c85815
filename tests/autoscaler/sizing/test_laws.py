"""Rails that hold whatever is observed: random policies, pools that misbehave, metrics that vanish.

Each run is a few hours of a fleet whose demand jumps, whose pools run out, lose replicas and
change their quota, and whose metrics come and go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler.policy.model import Policy
from autoscaler.sizing.decision import Decision
from tests.autoscaler.sizing.builders import Fleet, demand, fleet, policy_of


@dataclass(frozen=True)
class Event:
    """What is so for some ticks."""

    work: float | None
    queued: float
    violating: float | None
    stockout: frozenset[str]
    quota: dict[str, int]
    lost: int
    blind: bool
    ticks: int


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    pools: list[dict[str, Any]] = [
        {
            "name": f"p{index}",
            "spot": draw(st.booleans()),
            "pricePerUnitHour": draw(st.sampled_from([1.0, 1.5, 3.6])),
            "replicasPerUnit": draw(st.sampled_from([1, 1, 3, 4])),
            "minUnits": draw(st.sampled_from([0, 0, 0, 1])),
            "relativeSpeed": draw(st.sampled_from([0.6, 1.0, 2.6])),
            "hazardPerHour": draw(st.sampled_from([0.0, 0.5])),
            "maxUnits": draw(st.integers(4, 20)),
        }
        for index in range(draw(st.integers(1, 3)))
    ]
    model = {"minReplicas": draw(st.integers(1, 4)), "maxReplicas": draw(st.integers(6, 40))}
    budget = draw(st.none() | st.floats(20, 80))
    return policy_of(*pools, model=model, budgetPerHour=budget)


@st.composite
def events(draw: st.DrawFn) -> Event:
    pools = st.sampled_from(["p0", "p1", "p2"])
    return Event(
        work=draw(st.none() | st.floats(0, 40)),
        queued=draw(st.sampled_from([0.0, 0.0, 50.0, 5000.0])),
        violating=draw(st.none() | st.sampled_from([0.0, 0.3])),
        stockout=frozenset(draw(st.sets(pools, max_size=1))),
        quota=draw(st.dictionaries(pools, st.integers(0, 12), max_size=1)),
        lost=draw(st.sampled_from([0, 0, 1, 3])),
        blind=draw(st.booleans()) and draw(st.booleans()),
        ticks=draw(st.sampled_from([1, 4, 20, 70])),
    )


def live_through(live: Fleet, event: Event) -> None:
    live.stockout = set(event.stockout)
    live.quota = dict(event.quota)
    for pool in live.ready:
        live.ready[pool] = max(0, live.ready[pool] - event.lost)
    for _ in range(event.ticks):
        supply = live.supply()
        if event.blind:
            supply.pop(next(iter(supply)))
        seen = demand(event.work, queued=event.queued, violating=event.violating)
        before = dict(live.decisions[-1].replicas) if live.decisions else {}
        served = dict(live.ready)
        decision = live.tick(seen, supply)
        check(live, event, decision, before, served)


def check(
    live: Fleet, event: Event, decision: Decision, before: dict[str, int], served: dict[str, int]
) -> None:
    policy = live.planner.policy
    model = live.planner.model
    cost = 0.0
    for book in live.planner.books:
        pool = book.pool
        replicas = decision.replicas.get(pool.name, 0)
        assert isinstance(replicas, int)
        assert replicas % pool.replicas_per_unit == 0, "no partial slice"
        units = replicas // pool.replicas_per_unit
        # A pool that is missing from the observation keeps the quota it was last seen with.
        limit = min(pool.max_units, event.quota.get(pool.name, pool.max_units))
        assert units <= pool.max_units
        if not event.blind:
            stands = min(served.get(pool.name, 0), before.get(pool.name, 0))
            assert units <= max(limit, -(-stands // pool.replicas_per_unit)), (
                "added beyond the quota"
            )
        cost += units * pool.price_per_unit_hour
    assert decision.total() <= model.max_replicas
    if policy.budget_per_hour is not None:
        assert cost <= policy.budget_per_hour + 1e-6
    if not event.blind and not event.stockout and policy.budget_per_hour is None:
        made = {0}
        for book in live.planner.books:
            per_unit, quota = book.pool.replicas_per_unit, event.quota.get(book.pool.name, 99)
            counts = range(min(book.pool.max_units, quota) + 1)
            made = {size + per_unit * n for size in made for n in counts}
        allowed = {size for size in made if model.min_replicas <= size <= model.max_replicas}
        assert not allowed or decision.total() >= model.min_replicas
    if event.work is None and not event.quota and not event.blind and before:
        for name, had in before.items():
            # What a pool does not deliver is ordered elsewhere.
            stays = min(had, served.get(name, 0)) if name in event.stockout else had
            assert decision.replicas[name] >= stays, "no scale-down on missing data"


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(policies(), st.lists(events(), min_size=1, max_size=5))
def test_the_rails_hold(policy: Policy, story: list[Event]) -> None:
    live = fleet(policy)
    for event in story:
        live_through(live, event)


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(policies(), st.lists(events(), min_size=1, max_size=3))
def test_the_same_inputs_give_the_same_decisions(policy: Policy, story: list[Event]) -> None:
    one, other = fleet(policy), fleet(policy)
    for event in story:
        live_through(one, event)
        live_through(other, event)
    assert one.decisions == other.decisions
