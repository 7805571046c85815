"""The whole process: one configuration file in, an endpoint picker out, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from aiohttp import ClientSession
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.gateway.hosting.conversation import (
    COMPLETION,
    connected,
    process,
    request_body,
    request_headers,
    response_body,
    response_headers,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: file-discovery, parameters: {path: PATH, watchFile: true}}
dataLayer: {discovery: {pluginRef: file-discovery}}
"""
ENDPOINTS = """
endpoints:
- {name: a, address: 127.0.0.1, port: "1"}
- {name: b, address: "::1", port: "1"}
"""
DESTINATIONS = {"127.0.0.1:1", "[::1]:1"}


@dataclass
class Running:
    """A gateway in a process of its own, and what it has logged."""

    child: asyncio.subprocess.Process
    lines: list[dict[str, object]] = field(default_factory=list)

    async def logged(self, text: str) -> dict[str, object]:
        """The first line with ``text``, past or to come."""
        for said in self.lines:
            if text in str(said["msg"]):
                return said
        if self.child.stderr is None:
            raise RuntimeError("stderr is not piped")
        async with asyncio.timeout(40):
            while raw := await self.child.stderr.readline():
                line: dict[str, object] = json.loads(raw)
                self.lines.append(line)
                if text in str(line["msg"]):
                    return line
        raise AssertionError(f"it ended without saying {text!r}: {self.lines}")

    async def port(self, name: str) -> int:
        return int(str((await self.logged("serving"))[f"{name}_port"]))

    async def ended(self) -> int:
        async with asyncio.timeout(20):
            return await self.child.wait()


@contextlib.asynccontextmanager
async def gateway(tmp_path: Path, *flags: str, config: str = CONFIG) -> AsyncIterator[Running]:
    """The gateway over two endpoints that do not answer, on ports of the system's choosing."""
    endpoints, picker = tmp_path / "endpoints.yaml", tmp_path / "picker.yaml"
    await asyncio.to_thread(endpoints.write_text, ENDPOINTS)
    await asyncio.to_thread(picker.write_text, config.replace("PATH", str(endpoints)))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "--config-file", str(picker)),
        *("--grpc-port=0", "--grpc-health-port=0", "--metrics-port=0"),
        *("--bind-address=127.0.0.1", "--drain-timeout=6s", "--workers=1", *flags),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(child)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def status(port: int, service: str = "") -> str:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def destination(response: Any) -> str:
    mutation = response.request_headers.response.header_mutation
    return str(
        next(
            option.header.raw_value.decode()
            for option in mutation.set_headers
            if option.header.key == "x-gateway-destination-endpoint"
        )
    )


async def test_it_serves_from_one_file_and_drains_what_is_open(tmp_path: Path) -> None:
    """SIGTERM: NOT_SERVING at once, the open stream to its end, new ones too, then exit 0."""
    async with gateway(tmp_path, "--secure-serving=false") as running:
        health = await running.port("health")
        assert await status(health) == "SERVING"
        async with connected(await running.port("grpc")) as channel:
            stream = process(channel)
            await stream.write(request_headers())
            await stream.write(request_body(COMPLETION))
            assert destination(await stream.read()) in DESTINATIONS
            await stream.read()
            running.child.send_signal(signal.SIGTERM)
            await running.logged("draining")
            assert await status(health) == "NOT_SERVING"
            assert await status(health, "liveness") == "SERVING"
            late = process(channel)
            await late.write(request_headers(end=True, path="/v1/models"))
            assert destination(await late.read()) in DESTINATIONS
            await late.done_writing()
            await stream.write(response_headers())
            await stream.read()
            await stream.write(response_body(b"{}"))
            await stream.read()
            await stream.done_writing()
            assert await stream.code() == grpc.StatusCode.OK
            assert await running.ended() == 0
        assert (await running.logged("stopping"))["streams_cut_off"] == 0


async def test_tls_is_the_default(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running:
        port = await running.port("grpc")
        assert (await running.logged("serving"))["tls"] is True
        async with connected(port) as plaintext:
            assert await process(plaintext).code() == grpc.StatusCode.UNAVAILABLE
        root = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        assert root.startswith("-----BEGIN CERTIFICATE-----")


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--secure-serving=false", "--drain-timeout=60s") as running:
        async with connected(await running.port("grpc")) as channel:
            stream = process(channel)
            await stream.write(request_headers(end=True))
            await stream.read()
            running.child.send_signal(signal.SIGTERM)
            await running.logged("draining")
            running.child.send_signal(signal.SIGINT)
            assert await running.ended() == 1
        assert (await running.logged("stopping"))["streams_cut_off"] == 1


async def test_metrics_and_pages_are_there(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running, ClientSession() as session:
        base = f"http://127.0.0.1:{await running.port('metrics')}"
        async with session.get(f"{base}/metrics") as response:
            assert 'inference_pool_ready_pods{name="epp"} 2.0' in await response.text()
        async with session.get(f"{base}/debug/endpoints") as response:
            page = await response.json()
        assert {each["destination"] for each in page["endpoints"]} == DESTINATIONS
        async with session.get(f"{base}/readyz") as response:
            assert response.status == 200


async def test_it_follows_its_configuration(tmp_path: Path) -> None:
    async with gateway(tmp_path) as running:
        await running.port("grpc")
        picker = tmp_path / "picker.yaml"
        good = await asyncio.to_thread(picker.read_text)
        await asyncio.to_thread(picker.write_text, good.replace("plugins:", "plugin:"))
        assert "did you mean plugins?" in str((await running.logged("not taken"))["msg"])
        changed = good.replace("plugins:", "plugins:\n- {type: queue-scorer}")
        await asyncio.to_thread(picker.write_text, changed)
        await running.logged("picker.yaml taken")


async def test_streams_that_are_open_outlive_a_change_and_end_under_the_rules_they_began_with(
    tmp_path: Path,
) -> None:
    async with (
        gateway(tmp_path, "--secure-serving=false") as running,
        connected(await running.port("grpc")) as channel,
    ):
        before, after = process(channel), process(channel)
        await before.write(request_headers())
        await before.write(request_body(COMPLETION))
        assert destination(await before.read()) in DESTINATIONS
        await after.write(request_headers())  # asked before the change, answered after it
        picker = tmp_path / "picker.yaml"
        good = await asyncio.to_thread(picker.read_text)
        changed = good.replace("plugins:", "plugins:\n- {type: queue-scorer}")
        await asyncio.to_thread(picker.write_text, changed)
        await running.logged("picker.yaml taken")
        await before.read()  # the body's bytes
        await before.write(response_headers())
        assert (await before.read()).HasField("response_headers")
        await before.write(response_body(b"{}", end=True))
        assert (await before.read()).HasField("response_body")
        await after.write(request_body(COMPLETION))
        assert destination(await after.read()) in DESTINATIONS
        for stream in (before, after):
            await stream.done_writing()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        pytest.param(
            CONFIG.replace("file-discovery, p", "file-discovry, p"), "file-discovry", id="plugin"
        ),
        pytest.param(CONFIG.replace("PATH", "/nowhere.yaml"), "/nowhere.yaml", id="endpoints"),
        pytest.param(
            "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n",
            "dataLayer.discovery",
            id="no discovery",
        ),
    ],
)
async def test_a_wrong_configuration_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, config: str, problem: str
) -> None:
    async with gateway(tmp_path, config=config) as running:
        assert problem in str((await running.logged("cannot start"))["msg"])
        assert await running.ended() == 2


async def test_a_port_in_use_is_one_clear_line_and_exit_code_1(tmp_path: Path) -> None:
    async with gateway(tmp_path) as first:
        port = await first.port("grpc")
        async with gateway(tmp_path, f"--grpc-port={port}") as second:
            line = await second.logged("cannot start")
            assert str(line["msg"]).endswith(
                f"--grpc-port: cannot listen on 127.0.0.1:{port}: address already in use"
            )
            assert await second.ended() == 1
