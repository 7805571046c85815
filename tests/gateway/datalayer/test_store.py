"""Membership, slots and columns: who is in the pool, and what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.discovered import Discovered, EndpointSpec
from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.inflight import InFlight
from gateway.datalayer.state import NEVER, NO_LORA, Endpoint, LoraState
from gateway.datalayer.store import Change, Datastore
from gateway.request.model_rules import ModelRewrite, Rule, Target

LOAD = EndpointLoad(
    waiting=3.0,
    running=2.0,
    kv_used=0.5,
    kv_blocks=1000.0,
    block_tokens=16.0,
    lora=LoraState(running=frozenset({"a"})),
)


def spec(
    name: str = "a",
    *,
    address: str | None = None,
    port: int = 8000,
    labels: dict[str, str] | None = None,
    metrics_port: int | None = None,
) -> EndpointSpec:
    """``a`` is at 10.0.0.97:8000, ``b`` at 10.0.0.98:8000, ..."""
    return EndpointSpec(
        name=name,
        address=f"10.0.0.{ord(name[0])}" if address is None else address,
        port=port,
        labels=labels or {},
        metrics_port=metrics_port,
    )


def store(*specs: EndpointSpec, capacity: int = 4) -> Datastore:
    made = Datastore(capacity)
    made.sync(specs)
    return made


def member(of: Datastore, name: str) -> Endpoint:
    found = of.endpoint("default", name)
    assert found is not None
    return found


def row(of: Datastore, endpoint: Endpoint) -> tuple[float, ...]:
    columns, slot = of.columns, endpoint.slot
    return (
        float(columns.waiting[slot]),
        float(columns.running[slot]),
        float(columns.kv_used[slot]),
        float(columns.kv_blocks[slot]),
        float(columns.block_tokens[slot]),
        float(columns.observed_at[slot]),
    )


def unknown(values: tuple[float, ...]) -> bool:
    return all(math.isnan(value) for value in values[:-1]) and values[-1] == NEVER


def test_a_new_store_is_empty_and_not_synced() -> None:
    new = Datastore()
    assert new.state.endpoints == ()
    assert not new.synced


def test_nobody_is_an_answer() -> None:
    assert store().synced


def test_endpoints_come_in_the_order_of_discovery() -> None:
    pool = store(spec("b"), spec("a"))
    assert [endpoint.id for endpoint in pool.state.endpoints] == ["default/b", "default/a"]
    assert pool.state.slots.tolist() == [0, 1]
    assert pool.state.by_destination["10.0.0.97:8000"].name == "a"


def test_the_same_again_changes_nothing() -> None:
    pool = store(spec("a"))
    before = pool.state
    assert pool.sync([spec("a")]) == Change()
    assert pool.state is before


def test_another_order_is_another_epoch_without_change() -> None:
    pool = store(spec("a"), spec("b"))
    assert pool.sync([spec("b"), spec("a")]) == Change()
    assert [endpoint.name for endpoint in pool.state.endpoints] == ["b", "a"]


def test_state_of_one_epoch_stays_as_it_was() -> None:
    pool = store(spec("a"))
    before = pool.state
    pool.sync([spec("b")])
    assert [endpoint.name for endpoint in before.endpoints] == ["a"]
    assert pool.state.epoch == before.epoch + 1


def test_labels_change_in_place() -> None:
    pool = store(spec("a"))
    before = member(pool, "a")
    pool.observed(before, LOAD, 5.0)
    change = pool.sync([spec("a", labels={"role": "decode"}, metrics_port=9100)])
    after = member(pool, "a")
    assert change == Change(changed=(after,))
    assert (after.slot, after.labels, after.metrics_port) == (0, {"role": "decode"}, 9100)
    assert row(pool, after) == (3.0, 2.0, 0.5, 1000.0, 16.0, 5.0)


def test_a_server_that_moves_is_another_server() -> None:
    pool = store(spec("a"))
    heard: list[str] = []
    pool.on_left(lambda endpoint: heard.append(f"left {endpoint.destination}"))
    pool.on_joined(lambda endpoint: heard.append(f"joined {endpoint.destination}"))
    before = member(pool, "a")
    pool.observed(before, LOAD, 5.0)
    change = pool.sync([spec("a", port=8001)])
    after = member(pool, "a")
    assert change == Change(added=(after,), removed=(before,))
    assert heard == ["left 10.0.0.97:8000", "joined 10.0.0.97:8001"]
    assert unknown(row(pool, after))


def test_two_endpoints_may_change_places() -> None:
    pool = store(spec("a"), spec("b"))
    pool.sync([spec("a", address="10.0.0.98"), spec("b", address="10.0.0.97")])
    assert {e.destination: e.name for e in pool.state.endpoints} == {
        "10.0.0.98:8000": "a",
        "10.0.0.97:8000": "b",
    }
    assert sorted(pool.state.slots.tolist()) == [0, 1]


def test_a_listener_may_stop_listening() -> None:
    pool = store(spec("a"))
    heard: list[Endpoint] = []
    stop = pool.on_left(heard.append)
    stop()
    pool.sync([])
    assert heard == []


@pytest.mark.parametrize(
    "specs",
    [
        pytest.param([spec("a"), spec("a", port=8001)], id="name"),
        pytest.param([spec("a"), spec("b", address="10.0.0.97")], id="destination"),
    ],
)
def test_repeats_are_refused_whole(specs: list[EndpointSpec]) -> None:
    pool = store(spec("c"))
    with pytest.raises(ValueError, match="two endpoints have the"):
        pool.sync(specs)
    assert [endpoint.name for endpoint in pool.state.endpoints] == ["c"]


def test_a_slot_waits_for_its_credits() -> None:
    pool = store(spec("a"))
    inflight = InFlight(lambda: pool.columns)
    credit = inflight.take(member(pool, "a"), 100, 50)
    pool.sync([spec("b")])
    assert member(pool, "b").slot == 1
    inflight.give_back(credit)
    pool.sync([spec("b"), spec("c")])
    assert member(pool, "c").slot == 0
    assert pool.columns.inflight_tokens.tolist() == [0, 0, 0, 0]


def test_a_slot_is_clean_when_it_is_given_again() -> None:
    pool = store(spec("a"))
    pool.observed(member(pool, "a"), LOAD, 5.0)
    pool.sync([spec("b")])
    assert member(pool, "b").slot == 0
    assert unknown(row(pool, member(pool, "b")))
    assert pool.columns.lora[0] == NO_LORA


def test_columns_grow_and_keep_what_they_hold() -> None:
    pool = store(spec("a"), capacity=1)
    credit = InFlight(lambda: pool.columns).take(member(pool, "a"), 100, 50)
    pool.observed(member(pool, "a"), LOAD, 5.0)
    small = pool.columns
    pool.sync([spec(name) for name in "abcdefgh"])
    assert pool.columns is not small
    assert pool.columns.capacity >= 8
    assert len(pool.columns.lora) == pool.columns.capacity
    assert row(pool, member(pool, "a")) == (3.0, 2.0, 0.5, 1000.0, 16.0, 5.0)
    assert pool.columns.lora[0] == LOAD.lora
    assert pool.columns.inflight_requests[0] == 1
    InFlight(lambda: pool.columns).give_back(credit)
    assert not np.any(pool.columns.inflight_requests)
    assert unknown(row(pool, member(pool, "h")))


def test_what_a_page_does_not_say_becomes_unknown() -> None:
    pool = store(spec("a"))
    pool.observed(member(pool, "a"), LOAD, 5.0)
    pool.observed(member(pool, "a"), EndpointLoad(waiting=4.0), 6.0)
    waiting, running, kv_used, *_, observed_at = row(pool, member(pool, "a"))
    assert (waiting, observed_at) == (4.0, 6.0)
    assert math.isnan(running)
    assert math.isnan(kv_used)
    assert pool.columns.lora[0] == NO_LORA


def test_a_page_that_says_nothing_is_no_observation() -> None:
    pool = store(spec("a"))
    pool.observed(member(pool, "a"), LOAD, 5.0)
    pool.observed(member(pool, "a"), EndpointLoad(), 6.0)
    assert unknown(row(pool, member(pool, "a")))


def test_observing_tells_whether_anything_moved() -> None:
    pool = store(spec("a"))
    a = member(pool, "a")
    moved = [
        pool.observed(a, EndpointLoad(waiting=1.0), 1.0),
        pool.observed(a, EndpointLoad(waiting=1.0), 2.0),
        pool.observed(a, EndpointLoad(waiting=2.0), 3.0),
        pool.observed(a, EndpointLoad(waiting=2.0, lora=LoraState(max_adapters=1)), 4.0),
        pool.observed(a, EndpointLoad(waiting=2.0, lora=LoraState(max_adapters=1)), 5.0),
    ]
    assert moved == [True, False, True, True, False]


def test_a_late_report_of_one_that_left_or_moved_is_dropped() -> None:
    pool = store(spec("a"))
    before = member(pool, "a")
    pool.sync([spec("a", port=8001)])
    assert not pool.observed(before, LOAD, 5.0)
    assert unknown(row(pool, member(pool, "a")))
    pool.sync([])
    assert not pool.observed(before, LOAD, 6.0)


def test_objectives_and_rewrites_come_with_the_endpoints() -> None:
    rewrite = ModelRewrite("r", (Rule(("food",), (Target(1, "food-v2"),)),))
    pool = Datastore()
    pool.apply(Discovered((spec("a"),), {"critical": 10}, (rewrite,)))
    assert pool.objectives == {"critical": 10}
    assert pool.rewrites == (rewrite,)
    pool.apply(Discovered())
    assert not pool.objectives
    assert len(pool.rewrites) == len(pool.state.endpoints) == 0


names = st.sampled_from("abcdefghij")
pools = st.lists(st.tuples(names, st.sampled_from([8000, 8001])), unique_by=lambda pair: pair[0])


@given(st.lists(st.tuples(pools, st.booleans(), st.integers(0, 9)), max_size=20))
def test_no_two_share_a_slot_and_no_credit_is_lost(
    steps: list[tuple[list[tuple[str, int]], bool, int]],
) -> None:
    """Whatever comes and goes, with requests under way to any of them."""
    pool = Datastore(1)
    inflight = InFlight(lambda: pool.columns)
    credits = []
    for members, gives_back, which in steps:
        pool.sync([spec(name, port=port) for name, port in members])
        assert [(e.name, e.port) for e in pool.state.endpoints] == members
        if members:
            credits.append(inflight.take(pool.state.endpoints[which % len(members)], 7, 3))
        if gives_back and credits:
            inflight.give_back(credits.pop(which % len(credits)))
        living = {credit.endpoint.slot for credit in credits}
        slots = pool.state.slots.tolist()
        assert len(set(slots)) == len(slots)
        for credit in credits:
            same_row = [e for e in pool.state.endpoints if e.slot == credit.endpoint.slot]
            assert [e.destination for e in same_row] in ([], [credit.endpoint.destination])
        assert set(np.flatnonzero(pool.columns.inflight_requests).tolist()) == living
        assert int(pool.columns.inflight_requests.sum()) == len(credits)
    for credit in credits:
        inflight.give_back(credit)
    assert not pool.columns.inflight_requests.any()
    assert not pool.columns.inflight_tokens.any()
    assert not pool.columns.inflight_prefill.any()
