"""A real Envoy accepts what we say, in every body mode: bodies whole, models renamed both ways.

The upstream answers with what it received, so that a test compares both ends of the wire.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import h2.connection
import h2.events
import pytest
from aiohttp import web

from gateway.errors import Refusal, Shed
from gateway.extproc.conduct import Conductor
from gateway.extproc.messages import BodyMode
from gateway.extproc.session import Limits
from gateway.extproc.streams import Streams
from gateway.extproc.wire.hosted import calls
from gateway.extproc.wire.limits import WireLimits
from gateway.extproc.wire.server import WireServer
from gateway.request.model import Ending, Headers, InferenceRequest, Outcome, Route
from gateway.request.warm_up import warm_up
from load_tests.envoy import envoy
from load_tests.envoy_config import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.ports import free_ports
from loadstar.clock import SystemClock

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(60)]

DUPLEX, BUFFERED = BodyMode.FULL_DUPLEX_STREAMED, BodyMode.BUFFERED
PARTIAL, STREAMED, NONE = BodyMode.BUFFERED_PARTIAL, BodyMode.STREAMED, BodyMode.NONE
MODEL, TARGET = "llama", "meta-llama-3-8b"
MAX_BODY = 4 * 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Kernels load at start-up, before there is a loop to block."""
    warm_up()


@dataclass
class Renaming:
    """A director that sends everything to one place under another model name."""

    destination: str
    rewrite_to: str | None = TARGET
    follow: bool = True
    early: Callable[[Headers], Refusal | None] = lambda headers: None
    asked: list[InferenceRequest] = field(default_factory=list)
    open: set[int] = field(default_factory=set)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    outcomes: list[Outcome] = field(default_factory=list)
    tickets: count[int] = field(default_factory=count)

    def admit_early(self, headers: Headers, subset: tuple[str, ...] | None, now: float) -> None:
        refusal = self.early(headers)
        if refusal is not None:
            raise refusal

    def route(self, request: InferenceRequest, subset: tuple[str, ...] | None, now: float) -> Route:
        self.asked.append(request)
        if "x-shed" in request.headers:
            raise Shed("no room")
        ticket = next(self.tickets)
        self.open.add(ticket)
        self.idle.clear()
        return Route((self.destination,), ticket, rewrite_to=self.rewrite_to, follow=self.follow)

    def responding(
        self,
        ticket: int,
        status: int | None,
        served: str | None,
        now: float,
        *,
        streamed: bool = False,
    ) -> tuple[tuple[str, str], ...]:
        return (("x-session-token", "t"),)

    def first_token(self, ticket: int, now: float) -> None:
        assert ticket in self.open

    def finish(self, ticket: int, outcome: Outcome, now: float) -> None:
        self.open.remove(ticket)
        if not self.open:
            self.idle.set()
        self.outcomes.append(outcome)


@dataclass
class Upstream:
    """A model server that remembers what reached it, and knows only the model ``TARGET``."""

    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(({name.lower(): v for name, v in request.headers.items()}, body))
        kind = request.query.get("stream")
        if kind:
            return await self._stream(request, endless=kind == "endless")
        return web.json_response(
            {"model": TARGET, "text": "x" * int(request.query.get("size", 10))}
        )

    async def _stream(self, request: web.Request, endless: bool) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await stream.prepare(request)
        for word in ("a", "b", "c"):
            event = {"model": TARGET, "choices": [{"delta": {"content": word}}]}
            await stream.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            await asyncio.sleep(30 if endless else 0.02)
        await stream.write(b"data: [DONE]\n\n")
        return stream


@dataclass
class Setting:
    url: str
    director: Renaming
    session: aiohttp.ClientSession
    upstream: Upstream


@asynccontextmanager
async def setting(
    tmp_path: Path,
    request_body: BodyMode,
    response_body: BodyMode,
    trailers: bool | None = None,
    max_body_bytes: int = MAX_BODY,
    http1_trailers: bool = False,
) -> AsyncIterator[Setting]:
    host = "127.0.0.1"
    ports = free_ports(4)
    upstream, listen, admin, picker = (Address(host, port) for port in ports)
    director = Renaming(upstream.text)
    limits, clock = Limits(max_body_bytes=max_body_bytes), SystemClock()
    ids = count()

    def new_conductor() -> Conductor:
        return Conductor(director, clock, limits, lambda: f"id-{next(ids)}")

    plan = EnvoyPlan(
        listen=listen,
        admin=admin,
        balancing=Balancing.ORIGINAL_DST,
        # With a retry policy Envoy 1.35 to 1.40 sends a body before trailers twice (envoy#45470).
        retries=0,
        http1_trailers=http1_trailers,
        picker=PickerPlan(
            picker,
            tls=False,
            request_body=request_body,
            response_body=response_body,
            trailers=trailers,
        ),
    )
    app = web.Application(client_max_size=1 << 30)
    model_server = Upstream()
    app.router.add_route("*", "/{tail:.*}", model_server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    wire = WireServer(
        open_call=calls(new_conductor, Streams(clock), clock),
        clock=clock,
        limits=WireLimits(),
        host=host,
        port=picker.port,
    )
    await runner.setup()
    await web.TCPSite(runner, host, upstream.port).start()
    try:
        async with (
            wire,
            envoy(plan, workdir=tmp_path) as running,
            aiohttp.ClientSession() as session,
        ):
            yield Setting(running.url, director, session, model_server)
            stats = await running.stats("http.inference.ext_proc")
            for name in ("spurious_msgs_received", "stream_msgs_failed", "message_timeouts"):
                assert stats.get(f"http.inference.ext_proc.{name}", 0) == 0, stats
    finally:
        await runner.cleanup()


def chat(filler: int = 0) -> bytes:
    content = {"role": "user", "content": f"say {MODEL} " + "x" * filler}
    return json.dumps({"model": MODEL, "messages": [content], "n": 10000000000000001}).encode()


def renamed(body: bytes) -> bytes:
    return body.replace(f'"model": "{MODEL}"'.encode(), f'"model": "{TARGET}"'.encode(), 1)


async def in_pieces(body: bytes, size: int = 16_384) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def given_back(director: Renaming) -> None:
    async with asyncio.timeout(5):
        await director.idle.wait()


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("request_body", "response_body"),
    [
        pytest.param(a, b, id=f"{a.name}-{b.name}")
        for a, b in [
            (DUPLEX, DUPLEX),
            (BUFFERED, BUFFERED),
            (PARTIAL, PARTIAL),
            (STREAMED, STREAMED),
            (NONE, NONE),
            (DUPLEX, NONE),
            (BUFFERED, STREAMED),
            (NONE, DUPLEX),
        ]
    ],
)
async def test_every_mode(tmp_path: Path, request_body: BodyMode, response_body: BodyMode) -> None:
    rewrites = request_body is not NONE
    expected: dict[str, Any]
    async with setting(tmp_path, request_body, response_body) as s:
        url = f"{s.url}/v1/chat/completions"

        async def post(body: bytes, chunked: bool = False, **query: str) -> bytes:
            data = in_pieces(body) if chunked else BytesIO(body)
            async with s.session.post(url, data=data, headers=JSON, params=query) as answer:
                assert answer.status == 200, await answer.read()
                assert answer.headers["x-session-token"] == "t"
                return await answer.read()

        named = MODEL if rewrites and response_body is not NONE else TARGET
        for filler, chunked in ((0, False), (0, True), (1_000_000, False), (1_000_000, True)):
            body = chat(filler)
            expected = {"model": named, "text": "x" * 10}
            assert json.loads(await post(body, chunked)) == expected
            headers, received = s.upstream.seen[-1]
            assert received == (renamed(body) if rewrites else body)
            assert headers.get("content-length", str(len(received))) == str(len(received))

        expected = {"model": named, "text": "x" * 300_000}
        assert json.loads(await post(chat(), size="300000")) == expected

        streamed = (await post(chat(), stream="yes")).split(b"\n\n")
        events = [json.loads(line[6:]) for line in streamed if line.startswith(b"data: {")]
        assert [event["model"] for event in events] == [named] * 3
        assert streamed[-2] == b"data: [DONE]"

        async with s.session.get(f"{s.url}/v1/models") as answer:
            assert answer.status == 200
        async with s.session.post(url, data=chat(), headers=JSON | {"x-shed": "1"}) as answer:
            assert answer.status == 429
            assert (await answer.json())["error"]["code"] == "shed"
            assert "x-request-id" in answer.headers
        if request_body in (DUPLEX, BUFFERED):
            too_much = BytesIO(b"x" * (MAX_BODY + 1))
            async with s.session.post(url, data=too_much, headers=JSON) as answer:
                assert answer.status == 413
            async with s.session.post(url, data=b'{"model":', headers=JSON) as answer:
                assert answer.status == 400
        await given_back(s.director)
        assert {outcome.ending for outcome in s.director.outcomes} == {Ending.COMPLETE}


async def test_a_client_that_leaves_gives_back_what_it_took(tmp_path: Path) -> None:
    async with setting(tmp_path, DUPLEX, DUPLEX) as s:
        url = f"{s.url}/v1/chat/completions"
        async with s.session.post(
            url, data=chat(), headers=JSON, params={"stream": "endless"}
        ) as answer:
            await answer.content.readany()
        await given_back(s.director)
        assert [outcome.ending for outcome in s.director.outcomes] == [Ending.CLIENT_GONE]


async def over_http2(
    url: str, path: str, pieces: tuple[bytes, ...], trailers: tuple[tuple[str, str], ...]
) -> tuple[str, bytes]:
    """Status and body of one HTTP/2 request that ends with ``trailers`` (HTTP/1 clients cannot)."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", path)]
    connection.send_headers(1, [*headers, *JSON.items()])
    for piece in pieces:
        connection.send_data(1, piece)
    connection.send_headers(1, trailers, end_stream=True)
    status, body = "", b""
    async with asyncio.timeout(10):
        while True:
            writer.write(connection.data_to_send())
            for event in connection.receive_data(await reader.read(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    writer.close()
                    return status, body


@pytest.mark.parametrize("mode", [DUPLEX, BUFFERED, STREAMED], ids=lambda mode: mode.name)
@pytest.mark.parametrize(
    "pieces", [(chat()[:9], chat()[9:]), ()], ids=["after a body", "without a body"]
)
async def test_request_trailers_hang_nobody(
    tmp_path: Path, mode: BodyMode, pieces: tuple[bytes, ...]
) -> None:
    path = "/v1/chat/completions" if pieces else "/other"
    async with setting(tmp_path, mode, mode, trailers=True) as s:
        status, body = await over_http2(s.url, path, pieces, (("x-checksum", "7"),))
        if mode is BUFFERED and not pieces:
            # The route comes with the trailers, when Envoy's headers can no longer carry it.
            assert status == "503"
            return
        assert (status, json.loads(body)["text"]) == ("200", "x" * 10)
        _, received = s.upstream.seen[-1]
        assert received in (b"".join(pieces), renamed(b"".join(pieces)))
        await given_back(s.director)
