"""A node pool reaches the size that is wanted and leaves alone whatever is not its own to change.

In whole zones and whole slices, with as few calls as that takes.
"""

from __future__ import annotations

import pytest

from autoscaler.actuate.nodepool.state import PoolState, SetSize, Stay, What, Why
from autoscaler.policy.model import Mode
from autoscaler.policy.pools import PoolKind, PoolMode
from tests.autoscaler.actuate.pool_bench import MINUTE_S, ONE_ZONE, THREE_ZONES, TICK_S, Bench, gpu
from tests.fakes.gke.cloud import Pool


async def test_a_pool_grows_with_one_call_and_stays() -> None:
    bench = Bench(gpu(), size=1)
    last = await bench.run(4, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 4, 200)]
    assert last.step == Stay(Why.AT_SIZE)
    assert bench.sizes() == {"us-central1-a": (4, 4)}


async def test_an_accepted_operation_is_not_capacity() -> None:
    bench = Bench(gpu(node_s=300.0), size=0)
    last = await bench.run(2, 2 * MINUTE_S)
    assert last.step == Stay(Why.ARRIVING)
    assert last.reading is not None
    assert last.reading.ready_nodes == 0


async def test_a_count_is_per_zone_and_rounds_up() -> None:
    bench = Bench(gpu(THREE_ZONES))
    await bench.run(4, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 2, 200)]
    assert bench.sizes() == dict.fromkeys(THREE_ZONES, (2, 2))


async def test_a_count_that_rounds_up_beyond_the_bound_rounds_down() -> None:
    bench = Bench(gpu(THREE_ZONES), max_units=5)
    await bench.run(4, 10 * MINUTE_S)
    assert bench.sizes() == dict.fromkeys(THREE_ZONES, (1, 1))


async def test_who_starts_in_the_middle_of_an_order_waits_for_it() -> None:
    """A new leader finds the size that the old one asked for, and no override."""
    bench = Bench(gpu(), size=1)
    await bench.run(3, 15.0)
    bench.driver.state = PoolState()
    await bench.run(3, 10 * MINUTE_S)
    assert [w for w in bench.writes() if w[2] == 200] == [("setSize", 3, 200)]
    assert What.OVERRIDE not in bench.told
    assert bench.sizes() == {"us-central1-a": (3, 3)}


async def test_a_new_policy_does_not_make_a_pool_new() -> None:
    """Who acts on it anew waits as long as the one before: for a person, a stockout, a quota."""
    bench = Bench(gpu(quota=3), size=2)
    bench.cloud.stockout("us-central1-a", 120 * MINUTE_S, after_s=5 * MINUTE_S)
    await bench.run(5, 4 * MINUTE_S)
    bench.driver.state = bench.driver.state.again()
    last = await bench.run(5, MINUTE_S)
    assert last.step == Stay(Why.QUOTA)
    bench.cloud.resize_by_hand("gpu", 2)
    await bench.run(5, TICK_S)
    bench.driver.state = bench.driver.state.again()
    last = await bench.run(5, 10 * MINUTE_S)
    assert last.step == Stay(Why.FOREIGN)
    assert bench.told == [What.QUOTA, What.OVERRIDE]
    assert bench.writes() == [("setSize", 5, 200), ("setSize", 3, 200)]


async def test_an_operation_that_fails_later_is_not_an_override() -> None:
    bench = Bench(gpu(), size=1)
    await bench.run(3, 15.0)
    operation = next(iter(bench.cloud.operations.values()))
    operation.apply = lambda: "Internal error; try again"
    await bench.run(3, 10 * MINUTE_S)
    assert bench.told == [What.FAILED]
    assert bench.writes() == [("setSize", 3, 200), ("setSize", 3, 200)]
    assert bench.sizes() == {"us-central1-a": (3, 3)}


async def test_a_size_that_somebody_else_sets_is_left_alone_for_a_while() -> None:
    bench = Bench(gpu(), size=3)
    await bench.run(3, MINUTE_S)
    bench.cloud.resize_by_hand("gpu", 6)
    last = await bench.run(3, 14 * MINUTE_S)
    assert bench.writes() == []
    assert bench.told == [What.OVERRIDE]
    assert last.step == Stay(Why.FOREIGN)
    await bench.run(3, 5 * MINUTE_S)
    assert bench.writes() == [("deleteInstances", 3, 200)]


async def test_growing_again_never_takes_a_node_of_the_fullest_zone() -> None:
    bench = Bench(gpu(THREE_ZONES), size=3)
    bench.cloud.busy("gpu", 3)  # all of zone a
    await bench.run(3, 15 * MINUTE_S)
    assert bench.sizes() == {
        "us-central1-a": (3, 3),
        "us-central1-b": (0, 0),
        "us-central1-c": (0, 0),
    }
    await bench.run(4, 10 * MINUTE_S)
    assert ("setSize", 3, 200) in bench.writes()
    assert bench.sizes()["us-central1-a"] == (3, 3)
    assert sum(machine.busy for machine in bench.pool.nodes) == 3


def tpu(**other: object) -> Pool:
    return Pool("tpu", ONE_ZONE, slice_nodes=4, **other)  # type: ignore[arg-type]  # keywords


async def test_a_slice_is_bought_whole() -> None:
    bench = Bench(tpu(), kind=PoolKind.TPU, nodes_per_unit=4)
    await bench.run(1, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 4, 200)]


async def test_a_slice_pool_never_holds_more_than_its_slice() -> None:
    bench = Bench(tpu(), kind=PoolKind.TPU, nodes_per_unit=4)
    await bench.run(3, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 4, 200)]


async def test_a_slice_that_cannot_be_completed_is_given_back_whole() -> None:
    bench = Bench(tpu(quota=3), kind=PoolKind.TPU, nodes_per_unit=4)
    await bench.run(1, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 4, 200), ("setSize", 0, 200)]
    assert bench.sizes() == {"us-central1-a": (0, 0)}


async def test_a_slice_that_works_is_not_taken_apart() -> None:
    bench = Bench(tpu(), size=4, kind=PoolKind.TPU, nodes_per_unit=4)
    bench.cloud.busy("tpu", 1)
    last = await bench.run(0, 10 * MINUTE_S)
    assert bench.writes() == []
    assert last.step == Stay(Why.DRAINING)
    bench.cloud.busy("tpu", 0)
    await bench.run(0, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 0, 200)]


async def test_advisory_mode_writes_nothing_and_says_what_it_would() -> None:
    bench = Bench(gpu(), size=1, operate=Mode.ADVISORY)
    with pytest.raises(AssertionError):  # every tick is kept back
        await bench.run(4, 5 * MINUTE_S)
    assert bench.writes() == []
    call, why = bench.gate.kept_back[0]
    assert (call.method, dict(call.body), why) == ("setSize", {"nodeCount": 4}, "advisory")


async def test_who_has_lost_the_lease_writes_nothing() -> None:
    bench = Bench(gpu(), size=1)
    await bench.run(1, MINUTE_S)
    bench.leads = False
    await bench.run(4, 5 * MINUTE_S)
    assert bench.writes() == []
    bench.leads = True
    last = await bench.run(4, TICK_S)
    assert last.step == SetSize(4)


async def test_only_looking_is_looking() -> None:
    bench = Bench(gpu(), size=1, mode=PoolMode.OBSERVE)
    last = await bench.run(4, 5 * MINUTE_S)
    assert bench.writes() == []
    assert last.step == Stay(Why.OBSERVED)
