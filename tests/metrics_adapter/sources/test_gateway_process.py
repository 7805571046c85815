"""A real gateway, whose signals an adapter hears: over TLS, with a token, with several workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.metrics_adapter.sources.test_fetching import Server, running, served, told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

PAGE = """vllm:num_requests_waiting{model_name="m"} 3
vllm:num_requests_running{model_name="m"} 5
vllm:kv_cache_usage_perc{model_name="m"} 0.5
"""
START_SECONDS = 60.0


@contextlib.asynccontextmanager
async def gateway(directory: Path, model_server: int, *more: str) -> AsyncIterator[int]:
    """A gateway process over one model server; gives its signals port."""

    def written() -> None:
        (directory / "endpoints.yaml").write_text(
            "endpoints: [{name: vllm-0, namespace: lab, address: 127.0.0.1, "
            f'port: "{model_server}"}}]'
        )
        (directory / "picker.yaml").write_text(
            "apiVersion: llm-d.ai/v1alpha1\n"
            "kind: EndpointPickerConfig\n"
            "plugins:\n"
            f"- {{type: file-discovery, parameters: {{path: {directory}/endpoints.yaml}}}}\n"
            "dataLayer: {discovery: {pluginRef: file-discovery}}\n"
        )

    await asyncio.to_thread(written)
    ports = ("grpc-port", "grpc-health-port", "metrics-port", "signals-port")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "--config-file", str(directory / "picker.yaml")),
        *(word for port in ports for word in (f"--{port}", "0")),
        *("--bind-address", "127.0.0.1", "--zap-encoder", "json", "--drain-timeout", "1s"),
        *more,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
    )
    assert process.stderr is not None
    log: list[bytes] = []

    async def read(stream: asyncio.StreamReader, port: asyncio.Future[int]) -> None:
        while line := await stream.readline():
            log.append(line)
            with contextlib.suppress(ValueError):
                found = json.loads(line).get("signals_port")
                if found and not port.done():
                    port.set_result(found)

    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading = asyncio.get_running_loop().create_task(read(process.stderr, port))
    try:
        try:
            async with asyncio.timeout(START_SECONDS):
                yield await asyncio.shield(port)
        except TimeoutError:
            raise AssertionError(b"".join(log[-20:]).decode()) from None
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await process.wait()
        await reading


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_a_gateway_knows_reaches_the_adapter(tmp_path: Path, workers: str) -> None:
    token = tmp_path / "token"
    await asyncio.to_thread(token.write_text, "let-me-in")
    model_server = Server(PAGE)
    more = ("--workers", workers, "--signals-token-file", str(token))
    async with served(model_server) as port, gateway(tmp_path, port, *more) as signals:
        config = f"""
        sources:
        - type: feed
          addresses: ["127.0.0.1:{signals}"]
          insecureSkipVerify: true
          tokenFile: {token}
        """
        async with running(config) as (store, sources):
            for _ in range(1000):
                if told(store, "queue_depth"):
                    break
                await asyncio.sleep(0.01)
            assert sources.problems == {}
            assert told(store, "queue_depth") == {"vllm-0": 3.0}
            assert told(store, "running_requests") == {"vllm-0": 5.0}
            assert told(store, "kv_cache_utilization_percent") == {"vllm-0": 50.0}
            assert told(store, "inflight_requests") == {"vllm-0": 0.0}
        async with running(config.replace("tokenFile", "# ")) as (store, sources):
            for _ in range(1000):
                if sources.problems:
                    break
                await asyncio.sleep(0.01)
            assert "UNAUTHENTICATED" in str(sources.problems)
            assert told(store) == {}
