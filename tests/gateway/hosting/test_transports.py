"""A real gRPC client talks to both hosts over loopback, in the ways that Envoy does."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from gateway.extproc.grpcio import SERVICE
from gateway.metrics import Metrics
from gateway.request.model import Ending
from loadstar.tls import ReloadingPair, self_signed
from tests.gateway.hosting.conversation import (
    COMPLETION,
    DESTINATION,
    MIB,
    Recorder,
    connected,
    hosting,
    process,
    request_body,
    request_headers,
    response_body,
    response_headers,
)


@pytest.fixture(params=["wire", "grpcio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def until(condition: Callable[[], bool]) -> None:
    """Wait, ten seconds at most, for what another task will make true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- what is waited for raises no event
            await asyncio.sleep(0.005)


def destination(response: Any) -> str:
    mutation = response.request_headers.response.header_mutation
    found: list[str] = [
        option.header.raw_value.decode()
        for option in mutation.set_headers
        if option.header.key == "x-gateway-destination-endpoint"
    ]
    return found[-1]


async def test_a_request_without_a_body_is_answered_at_once(kind: str) -> None:
    async with hosting(kind=kind) as host, connected(host.port) as channel:
        stream = process(channel)
        await stream.write(request_headers(end=True, path="/v1/models"))
        assert destination(await stream.read()) == DESTINATION
        await stream.done_writing()
        assert await stream.code() == grpc.StatusCode.OK


async def test_a_whole_exchange_in_full_duplex_passes_the_bodies_through(kind: str) -> None:
    async with hosting(kind=kind) as host, connected(host.port) as channel:
        stream = process(channel)
        await stream.write(request_headers())
        await stream.write(request_body(COMPLETION[:10], end=False))
        await stream.write(request_body(COMPLETION[10:]))
        assert destination(await stream.read()) == DESTINATION
        sent = (await stream.read()).request_body.response.body_mutation.streamed_response
        assert (sent.body, sent.end_of_stream) == (COMPLETION, True)
        await stream.write(response_headers())
        assert (await stream.read()).HasField("response_headers")
        await stream.write(response_body(b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}'))
        answer = (await stream.read()).response_body.response.body_mutation.streamed_response
        assert answer.end_of_stream
        await stream.done_writing()
        assert await stream.code() == grpc.StatusCode.OK
        await until(lambda: bool(host.director.finished))
    assert [outcome.ending for outcome in host.director.finished] == [Ending.COMPLETE]
    assert host.director.finished[0].usage.output_tokens == 2


async def test_a_refusal_is_an_immediate_response_and_never_a_grpc_error(kind: str) -> None:
    async with hosting(Recorder(refuses=True), kind=kind) as host, connected(host.port) as channel:
        stream = process(channel)
        await stream.write(request_headers())
        await stream.write(request_body(COMPLETION))
        answer = await stream.read()
        assert answer.immediate_response.status.code == 503
        assert await stream.code() == grpc.StatusCode.OK


async def test_a_stream_that_is_cut_off_gives_back_what_it_took(kind: str) -> None:
    async with hosting(kind=kind) as host, connected(host.port) as channel:
        stream = process(channel)
        await stream.write(request_headers())
        await stream.write(request_body(COMPLETION))
        await stream.read()
        stream.cancel()
        await until(lambda: bool(host.director.finished))
        assert [outcome.ending for outcome in host.director.finished] == [Ending.CLIENT_GONE]
        assert host.streams.open == 0


async def test_a_stream_that_ends_half_way_gives_back_what_it_took(kind: str) -> None:
    async with hosting(kind=kind) as host, connected(host.port) as channel:
        stream = process(channel)
        await stream.write(request_headers())
        await stream.write(request_body(COMPLETION))
        await stream.done_writing()
        assert [answer async for answer in stream] != []
        assert await stream.code() == grpc.StatusCode.OK
        await until(lambda: bool(host.director.finished))
    assert len(host.director.finished) == 1


async def test_a_connection_that_breaks_gives_back_what_its_streams_took(kind: str) -> None:
    async with hosting(kind=kind) as host:
        async with connected(host.port) as channel:
            streams = [process(channel) for _ in range(5)]
            for stream in streams:
                await stream.write(request_headers())
                await stream.write(request_body(COMPLETION))
                await stream.read()
        await until(lambda: len(host.director.finished) == 5)
        assert host.streams.open == 0


async def test_a_stop_ends_open_streams_as_a_shutdown(kind: str) -> None:
    async with hosting(kind=kind) as host, connected(host.port) as channel:
        stream = process(channel)
        await stream.write(request_headers())
        await stream.write(request_body(COMPLETION))
        await stream.read()
        host.streams.closing = True
        await host.server.stop(0)
        await until(lambda: bool(host.director.finished))
    assert [outcome.ending for outcome in host.director.finished] == [Ending.SHUTDOWN]


@pytest.mark.parametrize(
    ("response_mode", "said", "cut_off"),
    [
        pytest.param("STREAMED", 0, 0, id="before the answer"),
        pytest.param("STREAMED", 1, 0, id="after its headers"),
        pytest.param("STREAMED", 2, 0, id="in its middle"),
        pytest.param("BUFFERED", 1, 0, id="while the proxy collects it"),
        pytest.param("FULL_DUPLEX_STREAMED", 2, 1, id="bytes would be lost"),
    ],
)
async def test_a_stop_lets_go_of_answers_that_the_proxy_can_finish_alone(
    response_mode: str, said: int, cut_off: int
) -> None:
    """Of the wire transport: gRPC's library knows only to cancel what is open."""
    async with hosting(kind="wire") as host, connected(host.port) as channel:
        stream = process(channel)
        await stream.write(request_headers(response_mode=response_mode))
        await stream.write(request_body(COMPLETION))
        await stream.read()
        await stream.read()
        for message in (response_headers(), response_body(b"{", end=False))[:said]:
            await stream.write(message)
            await stream.read()
        host.streams.closing = True
        assert await host.server.stop(0) == cut_off
        assert (await stream.code() is grpc.StatusCode.OK) == (not cut_off)
    assert [outcome.ending for outcome in host.director.finished] == [Ending.SHUTDOWN]


async def test_a_body_longer_than_a_grpc_message_usually_is_arrives_whole(kind: str) -> None:
    """BUFFERED mode: the whole body is one message; grpc's own limit would be 4 MiB."""
    body = b'{"model":"llama","prompt":"' + b"x" * (8 * MIB) + b'"}'
    async with hosting(kind=kind) as host, connected(host.port) as channel:
        stream = process(channel)
        await stream.write(request_headers())
        await stream.write(request_body(body))
        await stream.read()
        await until(lambda: bool(host.director.routed))
    assert host.director.routed[0].body_bytes == len(body)


async def test_bytes_that_are_no_message_end_their_stream_and_no_other(kind: str) -> None:
    async with hosting(kind=kind) as host, connected(host.port) as channel:
        raw = channel.stream_stream(f"/{SERVICE}/Process")()
        await raw.write(b"\xff\xff\xff\xff")
        assert await raw.code() == grpc.StatusCode.INVALID_ARGUMENT
        stream = process(channel)
        await stream.write(request_headers(end=True))
        assert destination(await stream.read()) == DESTINATION
        assert host.streams.open == 1


@pytest.mark.slow
async def test_a_burst_on_one_connection_is_taken_whole(kind: str) -> None:
    """More streams than either host's defaults took: 4,096 at once, 1,000 not yet looked at."""

    async def opened(channel: Any) -> Any:
        stream = process(channel)
        await stream.write(request_headers(end=True))
        assert destination(await stream.read()) == DESTINATION
        return stream

    async with hosting(kind=kind) as host, connected(host.port) as channel:
        async with asyncio.TaskGroup() as tasks:
            opening = [tasks.create_task(opened(channel)) for _ in range(5000)]
        assert host.streams.open == 5000
        for task in opening:
            task.result().cancel()
        await until(lambda: host.streams.open == 0)


async def test_tls_with_the_self_signed_certificate(kind: str) -> None:
    pair = self_signed(time.time() - 3600)  # noqa: TID251 -- a certificate is valid on wall clocks
    certificate = ReloadingPair("", pair, lambda ok: None)
    async with hosting(certificate=certificate, kind=kind) as host:
        stream = await tls_stream(host.port)
        assert stream.startswith(b"\x00\x00")


async def tls_stream(port: int) -> bytes:
    """The first bytes of an HTTP/2 server that was reached over TLS with ALPN h2."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    await writer.drain()
    first = await reader.read(9)
    writer.close()
    return first


class Watched(Metrics):
    """Metrics that also remember the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[str] = []

    def stream_closed(self, code: str, seconds: float) -> None:
        super().stream_closed(code, seconds)
        self.codes.append(code)


async def test_streams_are_measured_when_asked_for(kind: str) -> None:
    watched = Watched()
    async with hosting(watcher=watched, kind=kind) as host, connected(host.port) as channel:
        ended, cut = process(channel), process(channel)
        for stream in (ended, cut):
            await stream.write(request_headers(end=True))
            await stream.read()
        assert host.streams.open == 2
        await ended.done_writing()
        await ended.code()
        cut.cancel()
        await until(lambda: len(watched.codes) == 2)
    assert watched.codes[0] == "OK"
    assert host.streams.idle_seconds() is not None
