"""What a node pool does where nodes do not come, or go: no capacity, no quota, spot."""

from __future__ import annotations

import itertools

from autoscaler.actuate.nodepool.state import Stay, What, Why
from tests.autoscaler.actuate.pool_bench import MINUTE_S, THREE_ZONES, Bench, gpu
from tests.fakes.gke.cloud import Fault
from tests.fakes.gke.routes import NO_WORDS


async def test_an_order_that_fails_without_words_is_not_somebody_elses_size() -> None:
    bench = Bench(gpu(), size=1)
    await bench.run(3, 15.0)
    next(iter(bench.cloud.operations.values())).apply = lambda: NO_WORDS
    await bench.run(3, 10 * MINUTE_S)
    assert bench.told == [What.FAILED]
    assert bench.writes() == [("setSize", 3, 200), ("setSize", 3, 200)]


async def test_a_stockout_is_given_up_and_tried_again_ever_later() -> None:
    bench = Bench(gpu(), size=2)
    bench.cloud.stockout("us-central1-a", 120 * MINUTE_S)
    last = await bench.run(5, 5 * MINUTE_S)
    assert bench.writes() == [("setSize", 5, 200), ("setSize", 2, 200)]
    assert last.step == Stay(Why.STOCKOUT)
    assert bench.driver.stocked_out(bench.clock.now())
    assert bench.sizes() == {"us-central1-a": (2, 2)}
    await bench.run(5, 60 * MINUTE_S)
    orders = [c.t_s for c in bench.cloud.calls if c.body.get("nodeCount") == 5]
    gaps = [later - sooner for sooner, later in itertools.pairwise(orders)]
    # 5, 10, 20 and then at most 30 minutes of rest, each after the minute that tells a stockout.
    assert [round(gap / MINUTE_S) for gap in gaps] == [6, 11, 21]
    assert bench.told.count(What.STOCKOUT) == len(orders)


async def test_capacity_that_comes_back_is_ordered_after_the_rest() -> None:
    bench = Bench(gpu(), size=2)
    bench.cloud.stockout("us-central1-a", 4 * MINUTE_S)
    last = await bench.run(5, 20 * MINUTE_S)
    assert bench.writes() == [("setSize", 5, 200), ("setSize", 2, 200), ("setSize", 5, 200)]
    assert last.step == Stay(Why.AT_SIZE)


async def test_capacity_that_comes_during_the_giving_up_is_adopted_while_it_is_wanted() -> None:
    bench = Bench(gpu(node_s=10.0), size=2)
    bench.cloud.stockout("us-central1-a", 115.0)

    # The order is placed at 0 and given up at 75 s; the machines come at 115 s, while the
    # operation that takes the order back is held up by an upgrade.
    def upgrade(t_s: float) -> None:
        if t_s == 60.0:
            bench.cloud.foreign_operation("gpu", 120.0)

    last = await bench.run(5, 8 * MINUTE_S, at=upgrade)
    assert bench.sizes() == {"us-central1-a": (5, 5)}
    assert last.step == Stay(Why.AT_SIZE)
    assert What.LATE in bench.told
    assert [w for w in bench.writes() if w[2] == 200] == [("setSize", 5, 200)]


async def test_capacity_that_comes_late_and_is_not_wanted_is_returned() -> None:
    bench = Bench(gpu(node_s=10.0), size=2)
    bench.cloud.stockout("us-central1-a", 115.0)
    bench.cloud.busy("gpu", 2)

    def upgrade(t_s: float) -> None:
        if t_s == 60.0:
            bench.cloud.foreign_operation("gpu", 120.0)

    await bench.run(5, 90.0, at=upgrade)
    await bench.run(2, 10 * MINUTE_S, at=upgrade)
    accepted = [w for w in bench.writes() if w[2] == 200]
    assert accepted == [("setSize", 5, 200), ("deleteInstances", 3, 200)]
    assert bench.sizes() == {"us-central1-a": (2, 2)}
    assert all(machine.busy for machine in bench.pool.nodes)


async def test_what_does_not_come_at_all_counts_as_a_stockout() -> None:
    bench = Bench(gpu(node_s=5_000.0), size=0)
    last = await bench.run(2, 18 * MINUTE_S)
    assert bench.writes() == [("setSize", 2, 200), ("setSize", 0, 200)]
    assert last.step == Stay(Why.STOCKOUT)


async def test_a_zone_without_capacity_does_not_cost_the_nodes_of_the_others() -> None:
    bench = Bench(gpu(THREE_ZONES))
    bench.cloud.stockout("us-central1-b", 30 * MINUTE_S)
    last = await bench.run(6, 10 * MINUTE_S)
    # 2 in each zone cannot be had, and no count of setSize takes back only zone b's.
    assert bench.writes() == [("setSize", 2, 200)]
    assert last.step == Stay(Why.STOCKOUT)
    assert last.reading is not None
    assert last.reading.ready_nodes == 4
    await bench.run(6, 40 * MINUTE_S)
    assert bench.writes() == [("setSize", 2, 200)]
    assert bench.sizes() == dict.fromkeys(THREE_ZONES, (2, 2))


async def test_quota_is_a_bound_that_is_learned_and_tried_again_in_half_an_hour() -> None:
    bench = Bench(gpu(quota=3), size=2)
    last = await bench.run(5, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 5, 200), ("setSize", 3, 200)]
    assert last.step == Stay(Why.QUOTA)
    assert bench.driver.quota_units(bench.clock.now()) == 3
    bench.pool.quota = 10
    await bench.run(5, 30 * MINUTE_S)
    assert bench.writes()[2:] == [("setSize", 5, 200)]
    assert bench.sizes() == {"us-central1-a": (5, 5)}


async def test_a_quota_that_was_learned_gives_back_nothing_that_came_all_the_same() -> None:
    """It bounds what is asked for: a node beyond it is wanted, empty for now, and stays."""
    bench = Bench(gpu(quota=3), size=2)
    await bench.run(5, 5 * MINUTE_S)
    bench.pool.quota = 10
    bench.cloud.resize_by_hand("gpu", 4)
    last = await bench.run(5, 20 * MINUTE_S)  # past the hold that an override brings
    assert bench.driver.quota_units(bench.clock.now()) == 3
    assert bench.writes()[2:] == []
    assert last.step == Stay(Why.QUOTA)
    assert bench.sizes() == {"us-central1-a": (4, 4)}


async def test_a_quota_said_with_403_is_not_a_missing_permission() -> None:
    bench = Bench(gpu(), size=2)
    bench.cloud.fail_next(Fault("setSize", 403, "QUOTA_EXCEEDED: NVIDIA_H100_GPUS"))
    last = await bench.run(5, 5 * MINUTE_S)
    assert bench.writes() == [("setSize", 5, 403)]
    assert last.step == Stay(Why.QUOTA)
    assert bench.told == [What.QUOTA]


async def test_a_lost_spot_node_is_told_and_left_to_its_group() -> None:
    bench = Bench(gpu(spot=True), size=4)
    await bench.run(4, MINUTE_S)
    bench.cloud.preempt("gpu", 2)
    await bench.run(4, 10 * MINUTE_S)
    assert bench.writes() == []
    assert bench.told == [What.PREEMPTED]
    assert bench.sizes() == {"us-central1-a": (4, 4)}
