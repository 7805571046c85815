"""A real Envoy does what the plan says: spreads, fails open or closed, is steered by no client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from load_tests.envoy import RunningEnvoy, envoy
from load_tests.envoy_config import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.ports import free_ports
from load_tests.process import ChildFailed
from tests.load_tests.model_server import model_server

pytestmark = pytest.mark.envoy
HOST = "127.0.0.1"


@asynccontextmanager
async def fleet(
    balancing: Balancing, workdir: Path, *, fail_open: bool | None = None
) -> AsyncIterator[tuple[RunningEnvoy, list[str]]]:
    """Envoy before two servers; with ``fail_open`` given, behind a picker that is not there."""
    listen, admin, picker, *servers = free_ports(5)
    plan = EnvoyPlan(
        Address(HOST, listen),
        Address(HOST, admin),
        balancing,
        tuple(Address(HOST, port) for port in servers),
        None
        if fail_open is None
        else PickerPlan(Address(HOST, picker), failure_mode_allow=fail_open),
    )
    async with AsyncExitStack() as scope:
        for port in servers:
            await scope.enter_async_context(model_server(port))
        running = await scope.enter_async_context(envoy(plan, workdir=workdir))
        yield running, [str(port) for port in servers]


async def post(url: str, **headers: str) -> tuple[int, str | None]:
    """One request's status and who served it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/completions", data=b"{}", headers=named) as answer,
    ):
        await answer.read()
        return answer.status, answer.headers.get("x-served-by")


async def test_round_robin_takes_turns(tmp_path: Path) -> None:
    async with fleet(Balancing.ROUND_ROBIN, tmp_path) as (proxy, servers):
        served = [await post(proxy.url) for _ in range(6)]
    assert sorted(served) == sorted([(200, server) for server in servers] * 3)


async def test_without_its_picker_a_closed_gateway_says_503(tmp_path: Path) -> None:
    async with fleet(Balancing.OVERRIDE_HOST, tmp_path, fail_open=False) as (proxy, _):
        assert await post(proxy.url) == (503, None)


async def test_without_its_picker_an_open_gateway_goes_on_once_it_knows(tmp_path: Path) -> None:
    """The first body is lost with the picker (Envoy has no copy); the next ones pass."""
    async with fleet(Balancing.OVERRIDE_HOST, tmp_path, fail_open=True) as (proxy, servers):
        await post(proxy.url)
        served = [await post(proxy.url) for _ in range(4)]
    assert sorted(served) == sorted([(200, server) for server in servers] * 2)


@pytest.mark.parametrize("balancing", [Balancing.ORIGINAL_DST, Balancing.OVERRIDE_HOST])
async def test_no_client_steers_a_gateway_that_fails_open(
    balancing: Balancing, tmp_path: Path
) -> None:
    """With ORIGINAL_DST the header names any address at all: it must never come from outside."""
    (elsewhere,) = free_ports(1)
    async with model_server(elsewhere), fleet(balancing, tmp_path, fail_open=True) as (proxy, _):
        target = f"{HOST}:{elsewhere}"
        served = [await post(proxy.url, x_gateway_destination_endpoint=target) for _ in range(3)]
    assert str(elsewhere) not in {server for _, server in served}


async def test_envoy_is_gone_after_its_scope(tmp_path: Path) -> None:
    async with fleet(Balancing.ROUND_ROBIN, tmp_path) as (proxy, _):
        pid = proxy.process.pid
        assert await proxy.process.cpu_seconds() > 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_envoy_that_cannot_start_says_why(tmp_path: Path) -> None:
    listen, admin = free_ports(2)
    plan = EnvoyPlan(
        Address("192.0.2.1", listen),  # TEST-NET: not ours to bind
        Address(HOST, admin),
        Balancing.ROUND_ROBIN,
        (Address(HOST, 9),),
    )
    with pytest.raises(ChildFailed, match=r"(?i)192\.0\.2\.1"):
        async with envoy(plan, workdir=tmp_path):
            pass
