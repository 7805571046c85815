"""Each connection goes to the worker that has fewest, with its socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from gateway.processes.acceptor import Acceptor, Taker, give
from gateway.processes.channel import CONNECTION, listen, pair


@pytest.fixture
def lines() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with contextlib.ExitStack() as closing:
        made = [pair() for _ in range(3)]
        for ends in made:
            for end in ends:
                closing.enter_context(end)
        yield made


def test_the_worker_with_fewest_connections_gets_it(
    lines: list[tuple[socket.socket, socket.socket]],
) -> None:
    takers = [Taker(ours) for ours, _ in lines]
    with socket.socket() as connection:
        for _ in range(7):
            assert give(connection, takers) is not None
    assert sorted(taker.connections for taker in takers) == [2, 2, 3]


def test_a_worker_that_is_gone_is_passed_over(
    lines: list[tuple[socket.socket, socket.socket]],
) -> None:
    gone, other = Taker(lines[0][0]), Taker(lines[1][0], connections=5)
    lines[0][1].close()
    with socket.socket() as connection:
        assert give(connection, [gone, other]) is other
        lines[1][1].close()
        assert give(connection, [gone, other]) is None


async def test_connections_wait_for_a_worker_and_arrive_open(
    lines: list[tuple[socket.socket, socket.socket]],
) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    acceptor = Acceptor(listening)
    arrived: asyncio.Queue[tuple[bytes, socket.socket | None]] = asyncio.Queue()
    ended = asyncio.Event()
    ours, theirs = lines[0]
    listen(theirs, lambda *said: arrived.put_nowait(said), ended.set)
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    taker = Taker(ours)
    acceptor.join(taker)
    async with asyncio.timeout(5):
        message, connection = await arrived.get()
    assert (message, taker.connections) == (CONNECTION, 1)
    assert connection is not None
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(connection, b"hello")
    connection.close()
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()
    acceptor.leave(taker)
    acceptor.leave(taker)
    acceptor.close()
    ours.close()
    async with asyncio.timeout(5):
        await ended.wait()
