"""Health tells kubelets and proxies what the reference's does, and changes when things change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from gateway.serving.health import NAMES, Health, Readiness, health_server

SERVING = int(pb.HealthCheckResponse.SERVING)
NOT_SERVING = int(pb.HealthCheckResponse.NOT_SERVING)
EXT_PROC = "envoy.service.ext_proc.v3.ExternalProcessor"


class Pool:
    """A pool that has loaded its endpoints, or not yet."""

    synced = False


def readiness(*, started: bool = True, synced: bool = True, draining: bool = False) -> Readiness:
    made = Readiness(lambda: synced)
    made.started, made.draining = started, draining
    return made


@pytest.mark.parametrize(
    ("state", "service", "status"),
    [
        pytest.param(readiness(), "", SERVING, id="overall"),
        pytest.param(readiness(), "readiness", SERVING, id="readiness"),
        pytest.param(readiness(), EXT_PROC, SERVING, id="ext_proc"),
        pytest.param(readiness(), "inference-extension", SERVING, id="lwepp's name"),
        pytest.param(readiness(), "anything", SERVING, id="any other name is readiness"),
        pytest.param(readiness(synced=False), "", NOT_SERVING, id="no endpoints yet"),
        pytest.param(readiness(started=False), EXT_PROC, NOT_SERVING, id="not warm yet"),
        pytest.param(readiness(draining=True), EXT_PROC, NOT_SERVING, id="draining"),
        pytest.param(readiness(draining=True), "anything", NOT_SERVING, id="any name, draining"),
        pytest.param(readiness(draining=True), "liveness", SERVING, id="alive while draining"),
        pytest.param(readiness(synced=False), "liveness", SERVING, id="alive before endpoints"),
    ],
)
def test_status_by_service_name(state: Readiness, service: str, status: int) -> None:
    assert Health(state).status(service) == status


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        pytest.param(readiness(), "", id="ready"),
        pytest.param(readiness(started=False, synced=False), "starting", id="starting"),
        pytest.param(readiness(synced=False), "no endpoints loaded yet", id="no endpoints"),
        pytest.param(readiness(draining=True), "draining", id="draining"),
    ],
)
def test_why_it_is_not_ready(state: Readiness, reason: str) -> None:
    assert state.why_not() == reason
    assert state.ready == (reason == "")


@contextlib.asynccontextmanager
async def probed(state: Readiness) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    server = health_server(Health(state))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield health_pb2_grpc.HealthStub(channel)
    finally:
        await server.stop(0)


async def test_check_and_list_over_the_wire() -> None:
    async with probed(readiness()) as stub:
        answer = await stub.Check(pb.HealthCheckRequest(service=EXT_PROC))
        assert answer.status == SERVING
        listed = await stub.List(pb.HealthListRequest())
        assert {name: each.status for name, each in listed.statuses.items()} == dict.fromkeys(
            NAMES, SERVING
        )


async def test_watch_tells_every_change_and_nothing_twice() -> None:
    pool = Pool()
    state = Readiness(lambda: pool.synced)
    state.started = True
    async with probed(state) as stub, asyncio.timeout(5):
        watch = stub.Watch(pb.HealthCheckRequest(service=EXT_PROC))
        seen = [(await watch.read()).status]
        pool.synced = True
        seen.append((await watch.read()).status)
        state.draining = True
        seen.append((await watch.read()).status)
        watch.cancel()
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]
