"""``--workers 2`` as a whole: who answers, what a death costs, one page, one health, one drain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.hosting.conversation import (
    COMPLETION,
    process,
    request_body,
    request_headers,
    response_body,
    response_headers,
)
from tests.gateway.hosting.test_process import (
    CONFIG,
    DESTINATIONS,
    Running,
    destination,
    gateway,
    status,
)
from tests.grpc_fixtures import grpc_is_gone, grpc_may_lock

__all__ = ["grpc_is_gone", "grpc_may_lock"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@contextlib.asynccontextmanager
async def two_workers(tmp_path: Path, *flags: str, config: str = CONFIG) -> AsyncIterator[Running]:
    words = ("--secure-serving=false", "--workers=2", *flags)
    async with gateway(tmp_path, *words, config=config) as running:
        await running.logged("serving")
        yield running


async def child(running: Running, name: str, after: int = 0) -> int:
    """Process id of the newest ``name`` (``worker 0``), once it is another than ``after``."""

    def newest() -> int:
        ready = (line for line in running.lines if line["msg"] == f"{name} ready")
        return max((int(str(line["child"])) for line in ready if line["child"] != after), default=0)

    async with asyncio.timeout(30):
        while not (found := newest()):
            if running.child.stderr is None:
                raise RuntimeError("stderr is not piped")
            running.lines.append(json.loads(await running.child.stderr.readline()))
    return found


def forget(running: Running, text: str) -> None:
    """Drop the first line with ``text``: its successor counts."""
    running.lines.remove(next(line for line in running.lines if line["msg"] == text))


async def picked(stream: Any) -> str:
    await stream.write(request_headers())
    await stream.write(request_body(COMPLETION))
    chosen = destination(await stream.read())
    await stream.read()
    return chosen


async def ended(stream: Any) -> None:
    await stream.write(response_headers())
    await stream.read()
    await stream.write(response_body(b"{}"))
    await stream.read()
    await stream.done_writing()
    await stream.code()


async def sample(running: Running, name: str) -> float:
    """The sum over all series of ``name`` on the metrics page."""
    port = (await running.logged("collecting"))["metrics_port"]
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as page:
        text = await page.text()
    return sum(
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == name
    )


async def comes_true(true: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(200):
        if await true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come true in time")


async def settles(running: Running, name: str, wanted: float) -> None:
    async def is_it() -> bool:
        return await sample(running, name) == wanted

    await comes_true(is_it)


def connection(port: int) -> grpc.aio.Channel:
    """A channel with a connection of its own; by default grpcio's share one."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)


INFLIGHT = "loadstar_gateway_inflight_requests"
TOTAL = "llm_d_epp_request_total"


async def test_connections_are_spread_and_a_killed_worker_costs_only_its_own(
    tmp_path: Path,
) -> None:
    async with two_workers(tmp_path) as running, contextlib.AsyncExitStack() as ends:
        grpc_port = int(str((await running.logged("serving"))["grpc_port"]))
        health = int(str((await running.logged("collecting"))["health_port"]))
        victim = await child(running, "worker 0")
        channels = [await ends.enter_async_context(connection(grpc_port)) for _ in range(4)]
        streams = [process(channel) for channel in channels]
        for stream in streams:
            assert await picked(stream) in DESTINATIONS
        await settles(running, INFLIGHT, 4)
        assert await sample(running, TOTAL) == 4

        os.kill(victim, signal.SIGKILL)
        await running.logged("worker 0 ended")
        # Two connections were its: their credits are gone with it, the others' stay.
        await settles(running, INFLIGHT, 2)
        assert await status(health) == "SERVING"
        codes = [code async for code in broken(streams)]
        assert sorted(codes) == [False, False, True, True]
        for stream, lost in zip(streams, codes, strict=True):
            if not lost:
                await ended(stream)
        await settles(running, INFLIGHT, 0)

        assert await child(running, "worker 0", after=victim) != victim
        for channel in channels:
            stream = process(channel)
            assert await picked(stream) in DESTINATIONS
            await ended(stream)
        await settles(running, TOTAL, 8)
        await settles(running, INFLIGHT, 0)
        assert await sample(running, "inference_pool_ready_pods") == 2
        running.child.send_signal(signal.SIGINT)
        assert await running.ended() == 0


async def broken(streams: list[Any]) -> AsyncIterator[bool]:
    """For each stream whether its connection has gone."""
    for stream in streams:
        try:
            async with asyncio.timeout(0.5):
                await stream.code()
            yield True
        except TimeoutError:
            yield False


async def test_a_killed_collector_comes_back_with_the_pool_it_had(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as running:
        grpc_port = int(str((await running.logged("serving"))["grpc_port"]))
        victim = await child(running, "collector")
        async with connection(grpc_port) as channel:
            stream = process(channel)
            await picked(stream)
            os.kill(victim, signal.SIGKILL)
            late = process(channel)
            assert await picked(late) in DESTINATIONS  # nobody waits for a collector
            await child(running, "collector", after=victim)
            forget(running, "collecting")
            await settles(running, INFLIGHT, 2)
            await ended(stream)
            await ended(late)
            await settles(running, INFLIGHT, 0)


async def test_what_was_let_go_is_given_back_though_no_request_follows(tmp_path: Path) -> None:
    config = "responseProcessing: {mode: headers}\n" + CONFIG
    async with two_workers(tmp_path, config=config) as running:
        grpc_port = int(str((await running.logged("serving"))["grpc_port"]))
        async with connection(grpc_port) as channel:
            stream = process(channel)
            await stream.write(request_headers(response_mode="STREAMED"))
            asked = b'{"model":"llama","prompt":"hello","stream":true,"max_tokens":100}'
            await stream.write(request_body(asked))
            await stream.read()
            await stream.read()
            await stream.write(response_headers())
            await stream.read()
            assert await stream.code() is grpc.StatusCode.OK
            await settles(running, INFLIGHT, 1)
            await settles(running, INFLIGHT, 0)


async def test_new_members_reach_every_worker(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as running, contextlib.AsyncExitStack() as ends:
        grpc_port = int(str((await running.logged("serving"))["grpc_port"]))
        channels = [await ends.enter_async_context(connection(grpc_port)) for _ in range(2)]
        file = tmp_path / "endpoints.yaml"
        await asyncio.to_thread(
            file.write_text, 'endpoints: [{name: c, address: 127.0.0.9, port: "9"}]\n'
        )
        for channel in channels:
            async with asyncio.timeout(10):
                while True:
                    stream = process(channel)
                    chosen = await picked(stream)
                    await ended(stream)
                    if chosen == "127.0.0.9:9":
                        break


async def test_a_new_configuration_reaches_every_process(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as running:
        picker = tmp_path / "picker.yaml"
        good = await asyncio.to_thread(picker.read_text)
        changed = good.replace("plugins:", "plugins:\n- {type: queue-scorer}")
        await asyncio.to_thread(picker.write_text, changed)
        for _ in ("collector", "worker 0", "worker 1"):
            line = await running.logged("picker.yaml taken")
            running.lines.remove(line)


async def test_a_mistake_in_the_file_keeps_nobody_out_who_starts_again(tmp_path: Path) -> None:
    """What is in force is what the others have, not what the file says by now."""
    async with two_workers(tmp_path) as running:
        await asyncio.to_thread((tmp_path / "picker.yaml").write_text, "plugins: 5")
        for _ in ("collector", "worker 0", "worker 1"):
            running.lines.remove(await running.logged("picker.yaml not taken"))
        for name in ("collector", "worker 0"):
            victim = await child(running, name)
            os.kill(victim, signal.SIGKILL)
            await child(running, name, after=victim)
            assert "stays in force" in str((await running.logged("picker.yaml not taken"))["msg"])


async def test_a_file_that_is_gone_keeps_nobody_out_who_starts_again(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as running:
        await asyncio.to_thread((tmp_path / "picker.yaml").unlink)
        for _ in ("collector", "worker 0", "worker 1"):
            running.lines.remove(await running.logged("picker.yaml not taken"))
        for name in ("collector", "worker 0"):
            victim = await child(running, name)
            os.kill(victim, signal.SIGKILL)
            await child(running, name, after=victim)
            assert "stays in force" in str((await running.logged("picker.yaml not taken"))["msg"])


async def test_a_drain_lets_streams_of_every_worker_end(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as running, contextlib.AsyncExitStack() as ends:
        grpc_port = int(str((await running.logged("serving"))["grpc_port"]))
        health = int(str((await running.logged("collecting"))["health_port"]))
        channels = [await ends.enter_async_context(connection(grpc_port)) for _ in range(2)]
        streams = [process(channel) for channel in channels]
        for stream in streams:
            await picked(stream)
        running.child.send_signal(signal.SIGTERM)
        await running.logged("draining")

        async def refuses() -> bool:
            return await status(health) == "NOT_SERVING"

        await comes_true(refuses)
        for stream in streams:
            await ended(stream)
        assert await running.ended() == 0


async def test_a_stop_before_it_serves_is_a_clean_one(tmp_path: Path) -> None:
    async with gateway(tmp_path, "--secure-serving=false", "--workers=2") as running:
        await running.logged("collector ready")
        await asyncio.sleep(0.3)  # workers are on their way and have taken no signals yet
        running.child.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_connections_that_fail_their_handshake_are_over(tmp_path: Path) -> None:
    """Each worker serves TLS; who speaks none is let go, and does not count as a connection."""
    async with gateway(tmp_path, "--workers=2") as running:
        port = int(str((await running.logged("serving"))["grpc_port"]))
        for _ in range(8):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()
        root = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        assert root.startswith("-----BEGIN CERTIFICATE-----")
        running.child.send_signal(signal.SIGINT)
        assert await running.ended() == 0
        assert running.child.stderr is not None
        assert b'"level":"error"' not in await running.child.stderr.read()


async def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as running:
        children = [await child(running, n) for n in ("collector", "worker 0", "worker 1")]
        running.child.kill()
        await running.ended()

        async def gone() -> bool:
            return not any([await asyncio.to_thread(alive, pid) for pid in children])

        await comes_true(gone)


def alive(pid: int) -> bool:
    """A zombie that nobody has waited for is not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_wrong_configuration_is_said_once_and_ends_it(tmp_path: Path) -> None:
    config = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
    async with gateway(tmp_path, "--workers=2", config=config) as running:
        assert "dataLayer.discovery" in str((await running.logged("cannot start"))["msg"])
        assert await running.ended() == 2
        assert sum("cannot start" in str(line["msg"]) for line in running.lines) == 1


async def test_a_worker_that_hangs_is_ended_and_another_takes_its_place(tmp_path: Path) -> None:
    """Stopped, it keeps its connections and says nothing: only its missing beats tell."""
    async with two_workers(tmp_path) as running:
        hung = await child(running, "worker 0")
        os.kill(hung, signal.SIGSTOP)
        await running.logged("worker 0 hangs")
        assert await child(running, "worker 0", after=hung) != hung
