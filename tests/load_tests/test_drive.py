"""The open-loop client against a server in the same loop: times, tokens, failures, lateness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from load_tests.client import Exchange
from load_tests.drive import Driver, target
from load_tests.envoy_config import Address
from load_tests.measure import Sample
from load_tests.ports import free_ports
from load_tests.workload import Arrival, Block, Message
from loadstar.clock import SystemClock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 8},
}
TOKEN_S = 0.02


async def stream(request: web.Request) -> web.StreamResponse:
    """Three tokens and the usage, as a model server streams them."""
    await request.read()
    response = web.StreamResponse(headers={"x-served-by": "server-1"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    for word in ("one", "two", "three"):
        await asyncio.sleep(TOKEN_S)
        await response.write(b"data: " + orjson.dumps({"choices": [{"text": word}]}) + b"\n\n")
    await response.write(b"data: " + orjson.dumps({"choices": [], "usage": USAGE}) + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


async def whole(request: web.Request) -> web.StreamResponse:
    await request.read()
    return web.json_response({"id": "x", "choices": [], "usage": USAGE})


async def refuse(request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": "busy"}}, status=429)


async def hang_up(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = "text/event-stream"
    await response.prepare(request)
    await response.write(b'data: {"choices":[]}\n\n')
    assert request.transport is not None
    request.transport.abort()
    return response


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Address]:
    (port,) = free_ports(1)
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield Address("127.0.0.1", port)
    finally:
        await runner.cleanup()


def arrivals(count: int, every: float = 0.0) -> list[Arrival]:
    prompt = (Message("", (Block(1, 12),)),)
    return [Arrival(i * every, prompt, output_tokens=3, group=7) for i in range(count)]


async def drive(
    handler: Handler, count: int = 1, every: float = 0.0, request_s: float = 5.0
) -> list[Sample]:
    samples: list[Sample] = []
    async with serving(handler) as address:
        driver = Driver(target(address, "m"), SystemClock(), request_s=request_s)
        await driver.run(arrivals(count, every), lambda _, sample: samples.append(sample))
        assert driver.open == 0
    return samples


async def test_a_stream_is_timed_by_its_tokens_and_counted_by_its_usage() -> None:
    (sample,) = await drive(stream)
    assert sample.ok
    assert (sample.prompt_tokens, sample.cached_tokens, sample.output_tokens) == (12, 8, 3)
    assert (sample.served_by, sample.group) == ("server-1", 7)
    assert TOKEN_S <= sample.ttft_s < sample.e2e_s
    assert sample.e2e_s >= 3 * TOKEN_S
    assert len(sample.gaps_s) == 3


async def test_an_answer_in_one_piece_has_its_usage_too() -> None:
    (sample,) = await drive(whole)
    assert sample.ok
    assert (sample.prompt_tokens, sample.cached_tokens, sample.output_tokens) == (12, 8, 3)


@pytest.mark.parametrize(
    ("handler", "status", "error"),
    [
        pytest.param(refuse, 429, "", id="refused"),
        pytest.param(hang_up, 200, "connection lost", id="cut off in the middle"),
        pytest.param(never, 0, "timeout", id="no answer"),
    ],
)
async def test_a_failed_request_says_how(handler: Handler, status: int, error: str) -> None:
    (sample,) = await drive(handler, request_s=0.3)
    assert not sample.ok
    assert (sample.status, sample.error) == (status, error)


async def test_nobody_there_is_a_failure_and_not_a_crash() -> None:
    (port,) = free_ports(1)
    samples: list[Sample] = []
    driver = Driver(target(Address("127.0.0.1", port), "m"), SystemClock())
    await driver.run(arrivals(1), lambda _, sample: samples.append(sample))
    assert [(s.status, s.error) for s in samples] == [(0, "ConnectionRefusedError")]


async def test_the_loop_is_open_slow_answers_delay_nobody() -> None:
    """A closed loop would need 20 x 60 ms; arrivals every 10 ms must not wait for answers."""
    samples = await drive(stream, count=20, every=0.01)
    assert len(samples) == 20
    assert max(s.sent_at for s in samples) - min(s.sent_at for s in samples) < 0.6
    assert all(s.delay_s >= 0 for s in samples)


async def test_connections_are_kept_for_later_requests() -> None:
    peers: set[object] = set()

    async def remember(request: web.Request) -> web.StreamResponse:
        peers.add(request.transport)
        return await whole(request)

    assert all(s.ok for s in await drive(remember, count=5, every=0.05))
    assert len(peers) == 1


async def test_being_late_is_counted_and_not_hidden() -> None:
    """A client held up for 0.2 s sends late and says so."""

    class Held:
        """A clock that jumps once, as if the machine had stalled."""

        def __init__(self) -> None:
            self._real = SystemClock()
            self.jump = 0.0

        def now(self) -> float:
            return self._real.now() + self.jump

        def wall(self) -> float:
            return self._real.wall()

    clock = Held()
    samples: list[Sample] = []

    def seen(_: Arrival, sample: Sample) -> None:
        samples.append(sample)
        clock.jump = 0.2

    async with serving(whole) as address:
        driver = Driver(target(address, "m"), clock)
        await driver.run(arrivals(2, every=0.1), seen)
    late = sorted(s.delay_s for s in samples)
    assert late[0] < 0.1 <= late[1]


def test_usage_is_found_behind_content_that_looks_like_it() -> None:
    exchange = Exchange()
    fake = {"choices": [{"text": '"usage":{"prompt_tokens":99}'}]}
    real = {"choices": [], "usage": {"prompt_tokens": 1}}
    exchange.tail += b"data: " + orjson.dumps(real) + b"\n\ndata: " + orjson.dumps(fake) + b"\n\n"
    assert exchange.usage() == {"prompt_tokens": 1}


def test_no_usage_is_no_usage() -> None:
    exchange = Exchange()
    exchange.tail += b"data: [DONE]\n\nnot json"
    assert exchange.usage() == {}
