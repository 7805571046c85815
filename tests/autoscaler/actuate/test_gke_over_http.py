"""Google's client over a real socket: what it sends, what it makes of refusals and of silence."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from autoscaler.actuate.nodepool.reading import Autoscaling, Instance, Zone
from autoscaler.actuate.nodepool.state import Release, SetFloor, SetSize
from autoscaler.actuate.providers import gke
from autoscaler.actuate.providers.gke import Cluster, GkePool, Google, cluster_of
from autoscaler.errors import (
    Busy,
    Denied,
    Gone,
    Invalid,
    Moved,
    OutOfCapacity,
    OutOfQuota,
    ProviderError,
    Throttled,
    Unavailable,
)
from tests.fakes.clock import ManualClock
from tests.fakes.gke.cloud import Cloud, Fault, Pool
from tests.fakes.gke.routes import CLUSTER, LOCATION, NO_WORDS, PROJECT, Api
from tests.fakes.gke.server import serving

ZONE = "us-central1-a"


@asynccontextmanager
async def pool(
    cloud: Cloud,
    *,
    name: str = "gpu",
    slow_s: float = 0.0,
    page_size: int = 0,
    credentials: Any = AnonymousCredentials,
) -> AsyncIterator[GkePool]:
    api = Api(cloud)
    api.page_size = page_size
    async with serving(api, slow_s=slow_s) as address:
        google = await asyncio.to_thread(
            lambda: Google(
                credentials(), container_host=address, compute_host=address, scheme="http"
            )
        )
        try:
            yield GkePool(
                google,
                Cluster(project=PROJECT, location=LOCATION, name=CLUSTER),
                name,
                empty_nodes=lambda: api.empty_nodes("gpu"),
            )
        finally:
            await asyncio.to_thread(google.close)


def cloud(**other: Any) -> tuple[Cloud, ManualClock]:
    clock = ManualClock(now=0.0)
    made = Cloud(clock.now)
    made.add(Pool("gpu", (ZONE,), **other), 2)
    return made, clock


async def test_a_pool_is_read_from_its_groups() -> None:
    made, _ = cloud()
    made.busy("gpu", 1)
    async with pool(made) as gpu:
        found = await gpu.read("")
    assert found.zones == {ZONE: Zone(target=2, ready=2)}
    assert found.empty == (Instance(ZONE, "gke-gpu-us-central1-a-0002"),)
    assert found.status == "RUNNING"


async def test_a_group_is_read_to_its_last_page() -> None:
    """The tokens between pages are of letters that mean something else in a URL."""
    made, clock = cloud()
    made.resize_by_hand("gpu", 5)
    made.settle()
    clock.advance(300.0)
    async with pool(made, page_size=2) as gpu:
        found = await gpu.read("")
    assert found.zones == {ZONE: Zone(target=5, ready=5)}


async def test_pages_without_end_are_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gke, "MOST_PAGES", 2)
    made, _ = cloud()
    made.resize_by_hand("gpu", 5)
    async with pool(made, page_size=1) as gpu:
        with pytest.raises(Unavailable, match="more than 2 pages"):
            await gpu.read("")


async def test_a_pool_that_is_being_created_has_nothing_to_read_yet() -> None:
    made, _ = cloud()
    made.pools["gpu"].status = "PROVISIONING"
    async with pool(made) as gpu:
        assert (await gpu.read("")).gone


async def test_an_operation_may_fail_without_words() -> None:
    made, clock = cloud()
    async with pool(made) as gpu:
        accepted = await gpu.write(SetSize(3))
        made.operations[accepted.operation].apply = lambda: NO_WORDS
        clock.advance(30.0)
        found = (await gpu.read(accepted.operation)).operation
    assert found is not None
    assert (found.done, found.error) == (True, "failed with code 8")


async def test_each_write_and_its_operation() -> None:
    made, clock = cloud()
    async with pool(made) as gpu:
        accepted = await gpu.write(SetSize(3))
        first = (await gpu.read(accepted.operation)).operation
        clock.advance(30.0)
        second = (await gpu.read(accepted.operation)).operation
        assert first is not None
        assert second is not None
        assert (first.done, second.done) == (False, True)
        limits = Autoscaling(enabled=True, total_min=2, total_max=5, location_policy="BALANCED")
        floor = await gpu.write(SetFloor(limits))
        clock.advance(30.0)
        found = await gpu.read(floor.operation)
        assert found.autoscaling == limits
        released = await gpu.write(Release((found.empty[0],)))
        assert released.operation.startswith(f"{ZONE}/operation-")
        clock.advance(30.0)
        last = (await gpu.read(released.operation)).operation
        assert last is not None
        assert last.done


async def test_a_size_of_nought_is_said_and_not_left_out() -> None:
    made, clock = cloud()
    async with pool(made) as gpu:
        await gpu.write(SetSize(0))
        clock.advance(30.0)
        assert (await gpu.read("")).target_nodes == 0


@pytest.mark.parametrize(
    ("status", "message", "headers", "error"),
    [
        (400, "Cluster is running incompatible operation operation-17-ab.", {}, Busy),
        (
            400,
            "Operation operation-17-ab is currently upgrading cluster llm. "
            "Please wait and try again once it is done.",
            {},
            Busy,
        ),
        (400, "nodeCount is out of range", {}, Invalid),
        (400, "The zone does not have enough resources available", {}, OutOfCapacity),
        (403, "Required permission", {}, Denied),
        (403, "Insufficient regional quota to satisfy request: QUOTA_EXCEEDED", {}, OutOfQuota),
        (404, "Not found", {}, Gone),
        (409, "the resource was modified", {}, Moved),
        (412, "etag does not match", {}, Moved),
        (429, "slow down", {"Retry-After": "Wed, 25 Nov 2026 15:00:00 GMT"}, Throttled),
        (429, "slow down", {"Retry-After": "17"}, Throttled),
        (429, "Quota exceeded for quota metric 'Write requests' per minute", {}, Throttled),
        (500, "internal", {}, Unavailable),
        (503, "unavailable", {}, Unavailable),
        (504, "deadline exceeded", {}, Unavailable),
    ],
)
async def test_refusals_say_what_to_do(
    status: int, message: str, headers: dict[str, str], error: type[ProviderError]
) -> None:
    made, _ = cloud()
    made.fail_next(Fault("setSize", status, message, headers))
    async with pool(made) as gpu:
        with pytest.raises(error) as raised:
            await gpu.write(SetSize(3))
    if isinstance(raised.value, Busy):
        assert raised.value.operation == "operation-17-ab"
    if headers:
        assert isinstance(raised.value, Throttled)
        assert raised.value.after_s == (17.0 if headers["Retry-After"] == "17" else None)


async def test_a_pool_that_is_gone_is_an_empty_reading() -> None:
    made, _ = cloud()
    async with pool(made, name="other") as gpu:
        assert (await gpu.read("")).gone


async def test_an_operation_that_is_forgotten_is_over() -> None:
    made, _ = cloud()
    async with pool(made) as gpu:
        found = (await gpu.read("operation-1-gone")).operation
    assert found is not None
    assert found.done


async def test_silence_is_an_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gke, "TIMEOUT_S", 0.2)
    made, _ = cloud()
    async with pool(made, slow_s=1.0) as gpu:
        with pytest.raises(Unavailable):
            await gpu.write(SetSize(3))


class Renewing(AnonymousCredentials):
    """A token that somebody else may have revoked; each renewal is another that is as good."""

    def refresh(self, _request: object) -> None:
        """Nothing to fetch."""


@pytest.mark.parametrize(("times", "calls"), [(1, [401, 200]), (9, [401, 401, 401])])
async def test_a_token_that_is_refused_is_renewed_and_then_believed(
    times: int, calls: list[int]
) -> None:
    """A request that was answered 401 did not happen, so it alone is sent again."""
    made, _ = cloud()
    made.fail_next(Fault("setSize", 401, "Request had invalid credentials", times=times))
    async with pool(made, credentials=Renewing) as gpu:
        if times == 1:
            await gpu.write(SetSize(3))
        else:
            with pytest.raises(Denied):
                await gpu.write(SetSize(3))
    assert [call.status for call in made.calls] == calls


class Granting(AnonymousCredentials):
    """Has no token until somebody, in some other thread, grants one."""

    valid = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Google's has no annotations
        self.asked = threading.Event()
        self.granted = threading.Event()

    def refresh(self, _request: object) -> None:
        self.asked.set()
        assert self.granted.wait(10.0)
        self.valid = True


async def test_a_token_that_comes_too_late_is_not_written_with() -> None:
    """The one who waited has gone by then, and the lease may be another's."""
    made, _ = cloud()
    credentials = Granting()
    async with pool(made, credentials=lambda: credentials) as gpu:
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(gpu.write(SetSize(3)))
            await asyncio.to_thread(credentials.asked.wait, 10.0)
            writing.cancel()
        credentials.granted.set()
        found = await gpu.read("")  # and by now the other thread has had its time
        await asyncio.sleep(0.05)
        assert found.target_nodes == 2
        assert "setSize" not in [call.method for call in made.calls]
        await gpu.write(SetSize(3))
    assert [call.method for call in made.calls].count("setSize") == 1


async def test_nobody_there_is_unavailable() -> None:
    made, _ = cloud()
    async with pool(made) as gpu:
        pass
    with pytest.raises(Unavailable):
        await gpu.write(SetSize(3))


def test_a_cluster_by_its_path_or_its_parts() -> None:
    wanted = Cluster(project="p", location="l", name="c")
    assert cluster_of("projects/p/locations/l/clusters/c", "", "") == wanted
    assert cluster_of("c", "l", "p") == wanted
    with pytest.raises(ProviderError, match="--project"):
        cluster_of("c", "l", "")
