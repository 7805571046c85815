"""Every way in which a GKE node pool fails ends in the right state, after the right calls.

Google's own REST client speaks to the fake; only sockets and waiting are left out.
"""

from __future__ import annotations

import itertools

import pytest

from autoscaler.actuate.nodepool.state import PoolState, SetSize, Stay, What, Why
from autoscaler.observe.cluster import node_view
from autoscaler.policy.model import Mode
from autoscaler.policy.pools import PoolKind, PoolMode
from loadstar.kube.errors import Unreachable
from loadstar.kube.resources import NODES
from tests.autoscaler.actuate.pool_bench import TICK_S, Bench
from tests.fakes.gke.cloud import Fault, Pool
from tests.fakes.gke.routes import NO_WORDS
from tests.fakes.kube_documents import KubeDocuments

ONE_ZONE = ("us-central1-a",)
THREE_ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
MINUTE_S = 60.0


def gpu(zones: tuple[str, ...] = ONE_ZONE, **other: object) -> Pool:
    return Pool("gpu", zones, **other)  # type: ignore[arg-type]  # a builder's keywords


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


async def test_a_conflict_names_the_operation_which_is_waited_for() -> None:
    bench = Bench(gpu(), size=1)
    running = bench.cloud.foreign_operation("gpu", 240.0)
    last = await bench.run(3, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 3, 400), ("setSize", 3, 200)]
    accepted = [c for c in bench.cloud.calls if c.method == "setSize"][1]
    assert accepted.t_s >= bench.cloud.operations[running].ends_at_s
    assert bench.told == [What.CONFLICT]
    assert last.step == Stay(Why.AT_SIZE)


async def test_a_conflict_without_a_name_backs_off() -> None:
    bench = Bench(gpu(), size=1)
    message = "Cluster is currently being created, deleted, updated or repaired"
    bench.cloud.fail_next(Fault("setSize", 400, message, times=3))
    await bench.run(3, 10 * MINUTE_S)
    assert [status for _, _, status in bench.writes()] == [400, 400, 400, 200]
    assert bench.sizes() == {"us-central1-a": (3, 3)}


@pytest.mark.parametrize(
    "words",
    [
        "Cluster is running incompatible operation {}.",
        "Operation {} is currently upgrading cluster llm. "
        "Please wait and try again once it is done.",
        "Cluster is currently being updated by operation {}.",
    ],
)
async def test_an_operation_on_the_whole_cluster_is_waited_for_too(words: str) -> None:
    bench = Bench(gpu(), size=1)
    running = bench.cloud.foreign_operation("the cluster", 240.0, "UPGRADE_MASTER")
    bench.cloud.fail_next(Fault("setSize", 400, words.format(running)))
    await bench.run(3, 10 * MINUTE_S)
    asked = [(c.t_s, c.status) for c in bench.cloud.calls if c.method == "setSize"]
    assert asked == [(0.0, 400), (240.0, 200)]
    assert bench.sizes() == {"us-central1-a": (3, 3)}


async def test_a_pool_that_goes_between_look_and_request_is_asked_for_a_minute_later() -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault("setSize", 404, "Not found: node pool gpu."))
    await bench.run(3, 5 * MINUTE_S)
    asked = [(c.t_s, c.status) for c in bench.cloud.calls if c.method == "setSize"]
    assert asked == [(0.0, 404), (60.0, 200)]
    assert bench.told == [What.GONE]


async def test_what_is_forbidden_is_told_and_left_alone_for_ten_minutes() -> None:
    bench = Bench(gpu(), size=1)
    denied = 'Required "container.clusters.update" permission(s) for the cluster'
    bench.cloud.fail_next(Fault("setSize", 403, denied, times=2))
    await bench.run(3, 19 * MINUTE_S)
    assert [status for _, _, status in bench.writes()] == [403, 403]
    assert bench.told == [What.DENIED, What.DENIED]


async def test_a_pool_that_is_gone_is_looked_for_and_found_again() -> None:
    bench = Bench(gpu(), size=1)
    await bench.run(1, MINUTE_S)
    pool = bench.cloud.pools.pop("gpu")
    last = await bench.run(3, 5 * MINUTE_S)
    assert last.step == Stay(Why.GONE)
    assert bench.writes() == []
    bench.cloud.pools["gpu"] = pool
    await bench.run(3, 5 * MINUTE_S)
    assert bench.writes() == [("setSize", 3, 200)]
    assert bench.told == [What.GONE]


async def test_a_change_under_our_hands_is_read_again_first() -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault("setSize", 409, "the resource was modified"))
    await bench.run(3, 5 * MINUTE_S)
    assert bench.writes() == [("setSize", 3, 409), ("setSize", 3, 200)]
    assert bench.told == []


async def test_throttling_waits_as_long_as_it_was_told_to() -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault("setSize", 429, "slow down", {"Retry-After": "120"}))
    await bench.run(3, 5 * MINUTE_S)
    first, second = [call.t_s for call in bench.cloud.calls if call.method == "setSize"]
    assert second - first == 120.0
    assert bench.sizes() == {"us-central1-a": (3, 3)}


async def test_throttling_for_years_is_waited_for_an_hour() -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault("setSize", 429, "slow down", {"Retry-After": "99999999"}))
    await bench.run(3, 70 * MINUTE_S)
    first, second = [call.t_s for call in bench.cloud.calls if call.method == "setSize"]
    assert second - first == 3600.0


async def test_an_order_that_fails_without_words_is_not_somebody_elses_size() -> None:
    bench = Bench(gpu(), size=1)
    await bench.run(3, 15.0)
    next(iter(bench.cloud.operations.values())).apply = lambda: NO_WORDS
    await bench.run(3, 10 * MINUTE_S)
    assert bench.told == [What.FAILED]
    assert bench.writes() == [("setSize", 3, 200), ("setSize", 3, 200)]


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_giving_back_that_is_refused_for_now_is_tried_again(status: int) -> None:
    bench = Bench(gpu(), size=3)
    bench.cloud.fail_next(Fault("deleteInstances", status, "not now", times=2))
    await bench.run(1, 10 * MINUTE_S)
    assert [w[2] for w in bench.writes()] == [status, status, 200]
    assert bench.sizes() == {"us-central1-a": (1, 1)}


async def test_giving_back_that_happened_unanswered_is_nobodys_override() -> None:
    bench = Bench(gpu(), size=3)
    bench.cloud.fail_next(Fault("deleteInstances", 503, "no answer", happens_anyway=True))
    await bench.run(1, 10 * MINUTE_S)
    assert bench.writes() == [("deleteInstances", 2, 503)]
    assert bench.told == []
    assert bench.sizes() == {"us-central1-a": (1, 1)}


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


async def test_throttling_without_a_time_waits_longer_each_time() -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault("setSize", 429, "slow down", times=6))
    await bench.run(3, 15 * MINUTE_S)
    at = [call.t_s for call in bench.cloud.calls if call.method == "setSize"]
    gaps = [later - sooner for sooner, later in itertools.pairwise(at)]
    assert len(at) == 7
    assert gaps == sorted(gaps)
    assert gaps[-1] > 60.0


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_request_that_may_have_happened_is_read_about_and_not_repeated(
    status: int,
) -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault("setSize", status, "backend error", happens_anyway=True))
    await bench.run(3, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 3, status)]
    assert bench.sizes() == {"us-central1-a": (3, 3)}
    assert bench.told == []  # nobody overrode anybody: it was us


async def test_a_request_that_did_not_happen_is_repeated() -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault("setSize", 503, "try later", times=2))
    await bench.run(3, 10 * MINUTE_S)
    assert [status for _, _, status in bench.writes()] == [503, 503, 200]


async def test_reads_that_fail_change_nothing() -> None:
    bench = Bench(gpu(), size=2)
    await bench.run(2, MINUTE_S)
    bench.cloud.fail_next(Fault("get", 503, "try later", times=10))
    await bench.run(2, 5 * MINUTE_S)
    assert bench.writes() == []
    assert bench.told == []


@pytest.mark.parametrize("method", ["get", "group", "listManagedInstances"])
async def test_looking_waits_as_long_as_it_was_told_to(method: str) -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault(method, 429, "slow down", {"Retry-After": "120"}))
    await bench.run(3, 10 * MINUTE_S)
    asked = [(call.t_s, call.status) for call in bench.cloud.calls if call.method == method]
    assert asked[:2] == [(0.0, 429), (120.0, 200)]
    assert bench.writes() == [("setSize", 3, 200)]


async def test_looking_waits_longer_each_time_while_there_is_no_end_to_it() -> None:
    bench = Bench(gpu(), size=1)
    await bench.run(1, TICK_S)
    bench.cloud.fail_next(Fault("get", 429, "slow down", times=99))
    await bench.run(3, 30 * MINUTE_S)
    at = [call.t_s for call in bench.cloud.calls if call.status == 429]
    assert len(at) < 14
    assert max(later - sooner for sooner, later in itertools.pairwise(at)) <= 315.0


async def test_who_may_not_look_is_told_so_and_asks_again_in_ten_minutes() -> None:
    bench = Bench(gpu(), size=1)
    denied = 'Required "container.nodePools.get" permission(s)'
    bench.cloud.fail_next(Fault("get", 403, denied, times=2))
    await bench.run(3, 25 * MINUTE_S)
    asked = [(call.t_s, call.status) for call in bench.cloud.calls if call.method == "get"]
    assert asked[:3] == [(0.0, 403), (600.0, 403), (1200.0, 200)]
    assert bench.told == [What.DENIED, What.DENIED]
    assert bench.writes() == [("setSize", 3, 200)]


async def test_a_request_called_invalid_is_not_sent_again() -> None:
    bench = Bench(gpu(), size=1)
    bench.cloud.fail_next(Fault("setSize", 400, "nodeCount is out of range", times=99))
    last = await bench.run(3, 20 * MINUTE_S)
    assert bench.writes() == [("setSize", 3, 400)]
    assert last.step == Stay(Why.REFUSED)
    await bench.run(4, MINUTE_S)  # another size is another request
    assert bench.writes()[1:] == [("setSize", 4, 400)]


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


async def test_a_pool_that_is_autoscaled_is_never_resized() -> None:
    bench = Bench(gpu(autoscaling={"enabled": True, "totalMaxNodeCount": 9}), size=1)
    last = await bench.run(5, 10 * MINUTE_S)
    assert bench.writes() == []
    assert last.step == Stay(Why.AUTOSCALED)


async def test_autoscaling_that_is_switched_on_meanwhile_ends_the_resizing() -> None:
    bench = Bench(gpu(), size=1)
    await bench.run(3, 5 * MINUTE_S)
    bench.pool.autoscaling = {"enabled": True, "totalMaxNodeCount": 9}
    last = await bench.run(6, 20 * MINUTE_S)
    assert bench.writes() == [("setSize", 3, 200)]
    assert last.step == Stay(Why.AUTOSCALED)


async def test_a_floor_keeps_every_other_limit() -> None:
    limits: dict[str, object] = {
        "enabled": True,
        "totalMinNodeCount": 1,
        "totalMaxNodeCount": 9,
        "locationPolicy": "ANY",
        "autoprovisioned": True,
    }
    bench = Bench(gpu(autoscaling=limits), size=1, mode=PoolMode.FLOOR)
    await bench.run(5, 10 * MINUTE_S)
    any_zone = 2  # the client sends enums by number
    floor = {**limits, "totalMinNodeCount": 5, "locationPolicy": any_zone}
    assert bench.writes() == [("setAutoscaling", floor, 200)]
    assert bench.sizes() == {"us-central1-a": (5, 5)}


async def test_a_floor_of_limits_by_zone_is_by_zone() -> None:
    limits: dict[str, object] = {"enabled": True, "minNodeCount": 1, "maxNodeCount": 4}
    bench = Bench(gpu(THREE_ZONES, autoscaling=limits), size=1, mode=PoolMode.FLOOR)
    await bench.run(5, 10 * MINUTE_S)
    assert bench.writes() == [("setAutoscaling", {**limits, "minNodeCount": 2}, 200)]


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_a_floor_that_was_set_unanswered_is_set_once_and_nobodys_override(
    status: int,
) -> None:
    limits: dict[str, object] = {"enabled": True, "totalMaxNodeCount": 9}
    bench = Bench(gpu(autoscaling=limits), size=1, mode=PoolMode.FLOOR)
    fault = Fault("setAutoscaling", status, "no answer", happens_anyway=True)
    bench.cloud.fail_next(fault)
    await bench.run(5, 5 * MINUTE_S)
    assert [(method, status) for method, _, status in bench.writes()] == [
        ("setAutoscaling", status)
    ]
    assert bench.told == []
    assert bench.pool.autoscaling["totalMinNodeCount"] == 5


async def test_a_floor_meets_a_conflict_as_a_size_does() -> None:
    limits: dict[str, object] = {"enabled": True, "totalMaxNodeCount": 9}
    bench = Bench(gpu(autoscaling=limits), size=1, mode=PoolMode.FLOOR)
    bench.cloud.foreign_operation("gpu", 240.0)
    await bench.run(5, 10 * MINUTE_S)
    assert [status for _, _, status in bench.writes()] == [400, 200]
    assert bench.told == [What.CONFLICT]


async def test_a_floor_ends_at_the_pools_own_maximum() -> None:
    limits: dict[str, object] = {"enabled": True, "totalMaxNodeCount": 4}
    bench = Bench(gpu(autoscaling=limits), size=1, mode=PoolMode.FLOOR)
    await bench.run(15, 10 * MINUTE_S)
    assert bench.pool.autoscaling["totalMinNodeCount"] == 4


async def test_a_lower_floor_leaves_the_draining_to_the_pools_autoscaler() -> None:
    limits: dict[str, object] = {
        "enabled": True,
        "totalMinNodeCount": 5,
        "totalMaxNodeCount": 9,
    }
    bench = Bench(gpu(autoscaling=limits), size=5, mode=PoolMode.FLOOR)
    await bench.run(2, 20 * MINUTE_S)
    assert [method for method, _, _ in bench.writes()] == ["setAutoscaling"]
    assert bench.sizes() == {"us-central1-a": (2, 2)}


async def test_a_floor_that_somebody_else_sets_is_left_alone() -> None:
    limits: dict[str, object] = {"enabled": True, "totalMaxNodeCount": 9}
    bench = Bench(gpu(autoscaling=limits), size=1, mode=PoolMode.FLOOR)
    await bench.run(3, 5 * MINUTE_S)
    bench.pool.autoscaling["totalMinNodeCount"] = 1
    await bench.run(3, 10 * MINUTE_S)
    assert bench.told == [What.OVERRIDE]
    assert len(bench.writes()) == 1


async def test_a_floor_needs_a_pool_that_is_autoscaled() -> None:
    bench = Bench(gpu(), size=1, mode=PoolMode.FLOOR)
    last = await bench.run(5, 5 * MINUTE_S)
    assert bench.writes() == []
    assert last.step == Stay(Why.NOT_AUTOSCALED)


async def test_shrinking_takes_empty_nodes_and_waits_for_the_others() -> None:
    bench = Bench(gpu(), size=5)
    bench.cloud.busy("gpu", 4)
    last = await bench.run(2, 5 * MINUTE_S)
    assert bench.writes() == [("deleteInstances", 1, 200)]
    assert last.step == Stay(Why.DRAINING)
    bench.cloud.busy("gpu", 2)
    await bench.run(2, 5 * MINUTE_S)
    assert bench.writes()[1:] == [("deleteInstances", 2, 200)]
    assert all(machine.busy for machine in bench.pool.nodes)


def three_nodes() -> tuple[KubeDocuments, Bench]:
    """A pool of three empty nodes, and what Kubernetes has of them."""
    nodes = KubeDocuments()
    bench = Bench(gpu(), size=3, nodes=nodes)
    for machine in bench.pool.nodes:
        metadata = {"name": machine.name, "creationTimestamp": "2026-01-01T00:00:00Z"}
        nodes.put(NODES, {"metadata": metadata, "spec": {}})
    return nodes, bench


async def test_a_node_is_cordoned_before_the_look_that_lets_it_go() -> None:
    nodes, bench = three_nodes()
    names = [machine.name for machine in bench.pool.nodes]
    await bench.run(2, TICK_S)
    assert [write.what for write in nodes.writes] == [f"nodes/{names[0]}"]
    assert bench.writes() == []
    bench.cloud.busy("gpu", 1)  # a pod was quicker: this node stays, and another goes
    await bench.run(2, TICK_S)
    cordoned = [each for each in names if nodes.at(NODES, each)["spec"].get("unschedulable")]
    assert cordoned == [names[1]]
    assert bench.writes() == []
    await bench.run(2, 5 * MINUTE_S)
    assert bench.writes() == [("deleteInstances", 1, 200)]
    assert names[1] not in {machine.name for machine in bench.pool.nodes}


async def test_a_node_that_is_wanted_again_is_uncordoned() -> None:
    nodes, bench = three_nodes()
    await bench.run(2, TICK_S)
    await bench.run(3, TICK_S)
    spec = nodes.at(NODES, bench.pool.nodes[0].name)["spec"]
    assert not spec.get("unschedulable")
    assert bench.writes() == []


async def test_a_node_whose_cordon_was_not_answered_is_neither_forgotten_nor_let_go() -> None:
    nodes, bench = three_nodes()
    nodes.lost = [Unreachable("reset")]
    with pytest.raises(Unreachable):
        await bench.driver.tick(2, 0.0)
    name = bench.pool.nodes[0].name
    assert nodes.at(NODES, name)["spec"]["unschedulable"]
    await bench.run(3, TICK_S)
    assert not nodes.at(NODES, name)["spec"].get("unschedulable")
    assert bench.writes() == []


async def test_a_node_that_another_process_cordoned_is_uncordoned_or_let_go() -> None:
    """One that ended in between has left a mark; a node that a person cordoned has none."""
    nodes, bench = three_nodes()
    names = [machine.name for machine in bench.pool.nodes]
    nodes.at(NODES, names[2])["spec"]["unschedulable"] = True
    await bench.run(2, TICK_S)
    assert [node_view(nodes.at(NODES, n)).cordoned_by_us for n in names] == [True, False, False]
    bench.restart()
    await bench.run(3, TICK_S)
    spoken = [nodes.at(NODES, name) for name in names]
    assert [each["spec"].get("unschedulable") for each in spoken] == [None, None, True]
    assert [each["metadata"].get("annotations") for each in spoken] == [{}, None, None]
    assert bench.writes() == []


async def test_an_order_that_is_not_wanted_any_more_is_cut_to_what_came() -> None:
    bench = Bench(gpu(node_s=300.0), size=1)
    bench.cloud.busy("gpu", 1)
    await bench.run(5, MINUTE_S)
    await bench.run(1, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 5, 200), ("setSize", 1, 200)]


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


async def test_a_lost_spot_node_is_told_and_left_to_its_group() -> None:
    bench = Bench(gpu(spot=True), size=4)
    await bench.run(4, MINUTE_S)
    bench.cloud.preempt("gpu", 2)
    await bench.run(4, 10 * MINUTE_S)
    assert bench.writes() == []
    assert bench.told == [What.PREEMPTED]
    assert bench.sizes() == {"us-central1-a": (4, 4)}


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
