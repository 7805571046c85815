"""Machines that do not come, or go by themselves: what their group says, and what is done about it.

Operations are accepted here, and fail later or bring nothing; Google's own REST client asks.
"""

from __future__ import annotations

import pytest

from autoscaler.actuate.nodepool.learn import Patience
from autoscaler.actuate.nodepool.state import PoolState, Stay, What, Why
from autoscaler.actuate.providers.gke_reading import reading
from autoscaler.policy.pools import LeadTimePolicy, PoolKind, PoolPolicy
from tests.autoscaler.actuate.pool_bench import Bench
from tests.fakes.gke.cloud import Fault, Group, Pool

ZONE = ("us-central1-a",)
MINUTE_S = 60.0


def gpu(**other: object) -> Pool:
    return Pool("gpu", ZONE, **other)  # type: ignore[arg-type]  # a builder's keywords


def tpu(**other: object) -> Pool:
    return Pool("tpu", ZONE, slice_nodes=4, **other)  # type: ignore[arg-type]  # keywords


@pytest.mark.parametrize(
    "code",
    [
        "RESOURCE_POOL_EXHAUSTED",
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "INSUFFICIENT_CAPACITY",
        "IP_SPACE_EXHAUSTED",
        "PERMISSIONS_ERROR",
        "RESERVATION_CAPACITY_EXCEEDED",
        "UNSUPPORTED_TPU_CONFIGURATION",
        "OTHER",
    ],
)
async def test_an_attempt_that_fails_for_a_minute_is_given_up_whatever_its_error(code: str) -> None:
    bench = Bench(gpu(), size=2)
    bench.cloud.stockout("us-central1-a", 120 * MINUTE_S, code=code)
    last = await bench.run(5, 4 * MINUTE_S)
    assert bench.writes() == [("setSize", 5, 200), ("setSize", 2, 200)]
    assert last.step == Stay(Why.STOCKOUT)
    assert bench.told == [What.STOCKOUT]
    assert bench.sizes() == {"us-central1-a": (2, 2)}


async def test_what_keeps_machines_from_coming_is_told_in_the_providers_word() -> None:
    bench = Bench(gpu(), size=2)
    bench.cloud.stockout("us-central1-a", 120 * MINUTE_S, code="IP_SPACE_EXHAUSTED")
    texts: list[str] = []
    for _ in range(8):
        last = await bench.run(5, 15.0)
        texts += [each.text for each in last.happened]
    assert texts == ["IP_SPACE_EXHAUSTED for 3 of 5"]


@pytest.mark.parametrize(
    ("error", "told", "why"),
    [
        (
            "Google Compute Engine does not have enough resources available to fulfill request",
            What.STOCKOUT,
            Why.STOCKOUT,
        ),
        ("Insufficient regional quota: QUOTA_EXCEEDED NVIDIA_L4_GPUS", What.QUOTA, Why.QUOTA),
    ],
)
async def test_an_operation_that_ends_in_want_is_taken_back_at_once(
    error: str, told: What, why: Why
) -> None:
    bench = Bench(gpu(), size=2)
    bench.cloud.stockout("us-central1-a", 120 * MINUTE_S)
    await bench.run(5, 15.0)
    operation = next(iter(bench.cloud.operations.values()))
    applied = operation.apply
    assert applied is not None
    operation.apply = lambda: applied() + error
    last = await bench.run(5, 4 * MINUTE_S)
    assert bench.writes() == [("setSize", 5, 200), ("setSize", 2, 200)]
    assert bench.told == [What.FAILED, told]
    assert last.step == Stay(why)


@pytest.mark.parametrize(
    ("condition", "told"),
    [("GCE_STOCKOUT", What.STOCKOUT), ("GCE_QUOTA_EXCEEDED", What.QUOTA)],
)
async def test_a_condition_of_the_pool_is_heeded_as_an_error_of_its_machines(
    condition: str, told: What
) -> None:
    bench = Bench(gpu(node_s=600.0), size=0)
    await bench.run(3, MINUTE_S)
    bench.pool.conditions = [condition]
    await bench.run(3, 3 * MINUTE_S)
    assert bench.told == [told]
    assert bench.writes() == [("setSize", 3, 200)]  # no machine of its own has failed yet


async def test_a_group_that_is_not_ready_is_asked_again_soon() -> None:
    """Compute says so with a 400 while it is at work on the group: no fault of the request."""
    bench = Bench(gpu(), size=3)
    said = "The resource 'zones/us-central1-a/instanceGroupManagers/gke-gpu-grp' is not ready"
    bench.cloud.fail_next(Fault("deleteInstances", 400, said, times=2))
    await bench.run(1, 5 * MINUTE_S)
    assert [status for _, _, status in bench.writes()] == [400, 400, 200]
    assert bench.sizes() == {"us-central1-a": (1, 1)}


@pytest.mark.parametrize(
    ("action", "status", "counted"),
    [
        ("NONE", "RUNNING", (1, 0)),
        ("CREATING", "PROVISIONING", (0, 1)),
        ("RECREATING", "STOPPING", (0, 1)),
        ("VERIFYING", "RUNNING", (0, 1)),
        ("DELETING", "STOPPING", (0, 0)),
        ("ABANDONING", "RUNNING", (0, 0)),
    ],
)
def test_a_machine_on_its_way_out_is_not_coming(
    action: str, status: str, counted: tuple[int, int]
) -> None:
    machine = {"instance": "zones/z/instances/n", "currentAction": action, "instanceStatus": status}
    found = reading({}, {"z": [machine]}, {"z": 1}, None, frozenset())
    assert (found.zones["z"].ready, found.zones["z"].creating) == counted


async def test_a_spot_node_lost_long_after_its_order_is_left_to_its_group() -> None:
    """The order was filled: what the group makes anew is not late because that was long ago."""
    bench = Bench(gpu(spot=True), size=1)
    await bench.run(4, 60 * MINUTE_S)
    bench.cloud.preempt("gpu", 2)
    await bench.run(4, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 4, 200)]
    assert bench.told == [What.PREEMPTED]
    assert bench.sizes() == {"us-central1-a": (4, 4)}


async def test_a_spot_node_that_its_zone_cannot_replace_is_given_up() -> None:
    bench = Bench(gpu(spot=True), size=4)
    await bench.run(4, MINUTE_S)
    bench.cloud.stockout("us-central1-a", 120 * MINUTE_S)
    bench.cloud.preempt("gpu", 2)
    last = await bench.run(4, 5 * MINUTE_S)
    assert bench.writes() == [("setSize", 2, 200)]
    assert bench.told == [What.PREEMPTED, What.STOCKOUT]
    assert last.step == Stay(Why.STOCKOUT)


async def test_a_slice_that_lost_a_node_is_made_whole_by_its_group() -> None:
    bench = Bench(tpu(spot=True), kind=PoolKind.TPU, nodes_per_unit=4)
    await bench.run(1, 60 * MINUTE_S)
    bench.cloud.preempt("tpu", 1)
    last = await bench.run(1, MINUTE_S)
    assert last.reading is not None
    assert last.reading.ready_nodes == 3
    await bench.run(1, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 4, 200)]
    assert bench.told == [What.PREEMPTED]
    assert bench.sizes() == {"us-central1-a": (4, 4)}


async def test_one_that_stays_broken_is_given_back_whole() -> None:
    bench = Bench(tpu(spot=True), size=4, kind=PoolKind.TPU, nodes_per_unit=4)
    await bench.run(1, MINUTE_S)
    bench.cloud.stockout("us-central1-a", 120 * MINUTE_S)
    bench.cloud.preempt("tpu", 1)
    await bench.run(1, 4 * MINUTE_S)
    assert bench.writes() == [("setSize", 0, 200)]
    assert bench.sizes() == {"us-central1-a": (0, 0)}


async def test_a_pool_of_single_hosts_of_tpu_grows_by_the_node() -> None:
    bench = Bench(Pool("tpu", ZONE), size=1, kind=PoolKind.TPU)
    await bench.run(3, 5 * MINUTE_S)
    assert bench.writes() == [("setSize", 3, 200)]


async def test_a_pool_that_takes_its_time_is_waited_for() -> None:
    """The policy says 20 minutes for a node: what comes after 25 has not been given up."""
    slow = PoolPolicy(name="gpu", lead_time=LeadTimePolicy(node_s=1_200.0))
    bench = Bench(gpu(node_s=1_500.0), size=0, patience=Patience.of(slow, 900.0))
    last = await bench.run(2, 30 * MINUTE_S)
    assert bench.writes() == [("setSize", 2, 200)]
    assert last.step == Stay(Why.AT_SIZE)


async def test_an_operation_of_our_own_is_waited_for_and_anothers_is_not_counted_on() -> None:
    bench = Bench(gpu(), size=0)
    bench.cloud.operation_s = 1_200.0
    last = await bench.run(2, MINUTE_S)
    assert last.step == Stay(Why.OPERATION)
    assert not bench.driver.is_stuck(last)
    bench = Bench(gpu(), size=0)
    bench.cloud.foreign_operation("gpu", 1_200.0)
    last = await bench.run(2, MINUTE_S)
    assert last.step == Stay(Why.OPERATION)
    assert bench.driver.is_stuck(last)


async def test_who_takes_over_an_order_that_never_comes_gives_it_up_in_time() -> None:
    bench = Bench(gpu(node_s=5_000.0), size=0)
    await bench.run(2, 10 * MINUTE_S)
    bench.driver.state = PoolState()  # another leads, and knows only what it reads
    last = await bench.run(2, 17 * MINUTE_S)
    assert bench.writes() == [("setSize", 2, 200), ("setSize", 0, 200)]
    assert last.step == Stay(Why.STOCKOUT)


async def test_an_upgrade_has_nodes_to_spare_for_a_while_and_overrides_nobody() -> None:
    bench = Bench(gpu(), size=3)
    await bench.run(3, 2 * MINUTE_S)
    bench.pool.status = "RECONCILING"
    bench.cloud.resize_by_hand("gpu", 4)
    last = await bench.run(3, 5 * MINUTE_S)
    assert last.step == Stay(Why.OPERATION)
    bench.cloud.resize_by_hand("gpu", 3)
    bench.pool.status = "RUNNING"
    await bench.run(5, 5 * MINUTE_S)
    assert bench.told == []
    assert bench.writes() == [("setSize", 5, 200)]


@pytest.mark.parametrize("status", ["PROVISIONING", "RECONCILING", "STOPPING", "ERROR"])
async def test_a_pool_that_the_provider_is_at_work_on_is_not_asked(status: str) -> None:
    bench = Bench(gpu(), size=1)
    bench.pool.status = status
    await bench.run(3, 5 * MINUTE_S)
    assert bench.writes() == []
    bench.pool.status = "RUNNING"
    await bench.run(3, 5 * MINUTE_S)
    assert bench.writes() == [("setSize", 3, 200)]
    assert bench.told == []


async def test_a_zone_that_somebody_adds_is_their_doing_and_counts_from_then_on() -> None:
    """The size is one of each zone: whoever adds a zone adds as many nodes."""
    bench = Bench(gpu(), size=2)
    await bench.run(2, MINUTE_S)
    bench.pool.zones = (*ZONE, "us-central1-b")
    bench.pool.groups["us-central1-b"] = Group("us-central1-b", target=2)
    last = await bench.run(2, 10 * MINUTE_S)
    assert last.step == Stay(Why.FOREIGN)
    assert bench.writes() == []
    bench.cloud.busy("gpu", 2)
    await bench.run(2, 10 * MINUTE_S)
    assert bench.writes() == [("deleteInstances", 2, 200)]
    await bench.run(6, 10 * MINUTE_S)
    assert bench.writes()[1:] == [("setSize", 3, 200)]
    assert bench.sizes() == {"us-central1-a": (3, 3), "us-central1-b": (3, 3)}
    assert bench.told == [What.OVERRIDE]
