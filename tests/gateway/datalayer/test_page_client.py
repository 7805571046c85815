"""Fetching a page from servers that behave, and from those that do not."""

from __future__ import annotations

import asyncio

import pytest

from gateway.datalayer.page_client import PageClient
from gateway.datalayer.page_response import Reason, ScrapeFailed
from load_tests.idle_page import page as full_page
from tests.fakes.model_server import CALM, Manner, ModelServer


def client(server: ModelServer) -> PageClient:
    return PageClient("127.0.0.1", server.port, max_bytes=1 << 20)


async def failure(of: PageClient) -> Reason:
    with pytest.raises(ScrapeFailed) as raised:
        await of.fetch()
    return raised.value.reason


@pytest.mark.parametrize(
    ("manner", "connections"),
    [
        pytest.param(Manner.FINE, 1, id="with a length, one connection for all"),
        pytest.param(Manner.CHUNKED, 1, id="in chunks, one connection for all"),
        pytest.param(Manner.UNTIL_CLOSE, 3, id="until the connection closes"),
        pytest.param(Manner.CLOSES_AFTER, 3, id="closing what was to be kept"),
        pytest.param(Manner.BABBLES, 3, id="saying too much"),
    ],
)
async def test_pages_come(manner: Manner, connections: int) -> None:
    async with ModelServer(full_page(), manner) as server:
        fetching = client(server)
        for _ in range(3):
            assert await fetching.fetch() == server.page
            await asyncio.sleep(0.01)
        fetching.close()
        assert (server.requests, server.connections) == (3, connections)


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        (Manner.HALF, Reason.CLOSED),
        (Manner.CLOSES, Reason.CLOSED),
        (Manner.ERROR, Reason.STATUS),
        (Manner.GARBAGE, Reason.MALFORMED),
        (Manner.HUGE, Reason.TOO_LARGE),
    ],
)
async def test_no_page_comes_and_the_next_may(manner: Manner, reason: Reason) -> None:
    async with ModelServer(manner=manner) as server:
        fetching = client(server)
        assert await failure(fetching) is reason
        server.manner = Manner.FINE
        assert await fetching.fetch() == CALM
        fetching.close()


async def test_a_connection_closed_while_idle_costs_nothing() -> None:
    """uvicorn closes one after five idle seconds, perhaps just as we write to it."""
    async with ModelServer() as server:
        fetching = client(server)
        await fetching.fetch()
        server.manner = Manner.CLOSES
        closed_once = asyncio.ensure_future(fetching.fetch())  # noqa: TID251 - awaited below
        await asyncio.sleep(0)
        server.manner = Manner.FINE
        assert await closed_once == CALM
        fetching.close()


async def test_nobody_listens() -> None:
    async with ModelServer() as server:
        fetching = client(server)
    assert await failure(fetching) is Reason.CONNECT


async def test_giving_up_closes_the_connection() -> None:
    async with ModelServer(manner=Manner.HANGS) as server:
        fetching = client(server)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await fetching.fetch()
        server.manner = Manner.FINE
        assert await fetching.fetch() == CALM
        fetching.close()
        assert server.connections == 2


async def test_a_page_over_ipv6() -> None:
    """The Host header and the connection both need care there."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nkv")
        await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(serve, "::1", 0)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    port = server.sockets[0].getsockname()[1]
    async with server:
        fetching = PageClient("::1", port)
        assert await fetching.fetch() == b"kv"
        fetching.close()
    assert f"Host: [::1]:{port}\r\n".encode() in asked[0]
