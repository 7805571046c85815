"""A node pool that is autoscaled is given a floor, and nothing else of it is touched."""

from __future__ import annotations

import pytest

from autoscaler.actuate.nodepool.state import Stay, What, Why
from autoscaler.policy.pools import PoolMode
from tests.autoscaler.actuate.pool_bench import MINUTE_S, THREE_ZONES, Bench, gpu
from tests.fakes.gke.cloud import Fault


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
