"""Every way in which Google refuses or is silent ends in the right state, after the right calls.

Its own REST client speaks to the fake; only sockets and waiting are left out.
"""

from __future__ import annotations

import itertools

import pytest

from autoscaler.actuate.nodepool.state import Stay, What, Why
from tests.autoscaler.actuate.pool_bench import MINUTE_S, TICK_S, Bench, gpu
from tests.fakes.gke.cloud import Fault


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
