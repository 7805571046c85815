"""A quota that models share and that falls: nobody adds to it, nobody gives up what serves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler.observe.observation import Observation
from autoscaler.policy.model import Policy, load_policy
from autoscaler.sizing.fleet import PlannerFleet
from tests.autoscaler.sizing.builders import Fleet, demand


def policy_of(*models: str, least: int = 1, **pool: int) -> Policy:
    listed = [{"name": name, "class": name.split("-")[0], "minReplicas": least} for name in models]
    pools = [{"name": "a", "maxUnits": 30, **pool}]
    return load_policy({"mode": "active", "models": listed, "pools": pools})


class Shared:
    """Fleets of several models on one pool, each seeing the nodes of all."""

    def __init__(self, policy: Policy) -> None:
        self.planners = PlannerFleet.of(policy)
        self.fleets = {n: Fleet(p, lead_s=120.0) for n, p in self.planners.planners.items()}
        self.nodes = 0
        """Nodes that are there whatever stands on them."""

    def standing(self) -> int:
        return sum(fleet.ready.get("a", 0) for fleet in self.fleets.values())

    def pass_time(self) -> None:
        for fleet in self.fleets.values():
            fleet.now_s += 15.0
            fleet.arrive()

    def tick(self, works: dict[str, float], quota: int | None) -> dict[str, int]:
        self.pass_time()
        return self.decide(works, quota)

    def decide(self, works: dict[str, float], quota: int | None) -> dict[str, int]:
        seen = {}
        for name, fleet in self.fleets.items():
            fleet.quota = {} if quota is None else {"a": quota}
            has = replace(fleet.supply()["a"], units_ready=self.nodes)
            seen[name] = Observation(
                now_s=fleet.now_s, model=name, demand=demand(works[name]), supply={"a": has}
            )
        decided = self.planners.decide(seen)
        for name, fleet in self.fleets.items():
            fleet.obey(decided[name])
        return {name: decision.total() for name, decision in decided.items()}


def test_a_quota_that_falls_takes_nothing_from_either_model() -> None:
    shared = Shared(policy_of("interactive-1", "interactive-2"))
    works = {"interactive-1": 8.0, "interactive-2": 6.0}
    for _ in range(80):
        shared.tick(works, None)
    before = shared.tick(works, None)
    assert shared.tick(works, 5) == before
    for name in works:
        more = shared.tick({**works, name: 25.0}, 5)
        assert more == before


def test_pods_that_wait_for_a_node_take_none_from_who_serves() -> None:
    """Both stand on nodes of the pool, says its supply; whose these are, readiness tells."""
    shared = Shared(policy_of("interactive-1", "interactive-2"))
    shared.fleets["interactive-1"].ready["a"] = 2
    shared.nodes = 2
    shared.tick({"interactive-1": 0.5, "interactive-2": 0.5}, None)
    sizes = shared.tick({"interactive-1": 0.5, "interactive-2": 0.5}, 2)
    assert sizes == {"interactive-1": 2, "interactive-2": 0}


def test_a_batch_model_still_yields_what_an_interactive_one_needs() -> None:
    """Units may change hands under a quota that is below them all; their number does not grow."""
    shared = Shared(policy_of("interactive", "batch"))
    for _ in range(80):
        shared.tick({"interactive": 4.0, "batch": 12.0}, None)
    shared.nodes = shared.standing()
    for _ in range(40):
        sizes = shared.tick({"interactive": 9.0, "batch": 12.0}, 5)
        assert sum(sizes.values()) <= shared.nodes
    sizes = shared.tick({"interactive": 9.0, "batch": 12.0}, 5)
    assert sizes["interactive"] >= 10


def test_a_pools_least_units_are_kept_once_and_not_by_each_model() -> None:
    shared = Shared(policy_of("batch", "interactive", minUnits=4))
    for _ in range(40):
        shared.tick({"batch": 0.2, "interactive": 0.2}, None)
    assert shared.tick({"batch": 0.2, "interactive": 0.2}, None) == {"batch": 1, "interactive": 4}


@pytest.mark.parametrize("first", ["interactive", "batch-1"])
def test_what_others_must_have_is_left_to_them(first: str) -> None:
    """The first would take all thirty units, and gives back three when it is told of the other."""
    shared = Shared(policy_of(first, "batch-2", least=3))
    shared.fleets[first].ready["a"] = 30
    sizes = shared.tick({first: 90.0, "batch-2": 20.0}, None)
    assert sizes == {first: 27, "batch-2": 3}
    for _ in range(20):
        assert shared.tick({first: 90.0, "batch-2": 20.0}, None) == sizes


def test_ones_own_least_comes_before_that_of_others() -> None:
    shared = Shared(policy_of("interactive", "batch", least=3))
    assert shared.tick({"interactive": 20.0, "batch": 20.0}, 4) == {"interactive": 3, "batch": 1}


EPISODES = st.lists(
    st.tuples(
        st.floats(0, 25),
        st.floats(0, 25),
        st.none() | st.integers(0, 25),
        st.sampled_from([1, 10, 40]),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(["interactive-2", "batch"]), EPISODES)
def test_together_they_never_add_beyond_a_quota(
    other: str, episodes: list[tuple[float, float, int | None, int]]
) -> None:
    shared = Shared(policy_of("interactive-1", other))
    for one, two, quota, ticks in episodes:
        for _ in range(ticks):
            shared.pass_time()
            stood = shared.standing()
            sizes = shared.decide({"interactive-1": one, other: two}, quota)
            assert sum(sizes.values()) <= 30
            assert quota is None or sum(sizes.values()) <= max(quota, stood)
