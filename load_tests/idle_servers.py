"""A process of fake model servers that only serve a metrics page: what a scraper is measured on.

``python -m load_tests.idle_servers FIRST_PORT COUNT [--moving]``. With ``--moving`` every page of
a server shows other numbers than the one before. ``GET /served`` tells how many pages all servers
have served. Cheap on purpose: it shares its machine with what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import cast

import uvloop

from gateway.datalayer.page_client import PageClient
from gateway.datalayer.page_response import ScrapeFailed
from load_tests.idle_page import page

HOST = "127.0.0.1"
READY = "serving"
START_SECONDS = 20.0


class Servers:
    """All servers of this process: their pages, and how many were served."""

    def __init__(self, *, moving: bool) -> None:
        loads = [(float(n % 50), float(n % 30)) for n in range(97 if moving else 1)]
        self._answers = [_answer(page(waiting, running)) for waiting, running in loads]
        self.served = 0

    def pages(self) -> Iterator[bytes]:
        """The answers of one server, each time another if it is moving."""
        for number in count():
            self.served += 1
            yield self._answers[number % len(self._answers)]


class _Server(asyncio.Protocol):
    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._pages = servers.pages()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport says without being one.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """One read is one request: the clients here do not pipeline, and a GET is small."""
        if self._transport is not None:
            asked_how_many = data.startswith(b"GET /served ")
            answer = (
                _answer(str(self._servers.served).encode()) if asked_how_many else next(self._pages)
            )
            self._transport.write(answer)


def _answer(body: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\n"
        "content-type: text/plain; version=0.0.4; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def serve(first_port: int, servers: int, *, moving: bool) -> None:
    """Serve until cancelled; says ``serving`` on stdout once every port listens."""
    state = Servers(moving=moving)
    loop = asyncio.get_running_loop()
    for port in range(first_port, first_port + servers):
        await loop.create_server(lambda: _Server(state), HOST, port)
    print(READY, flush=True)
    await asyncio.Event().wait()


def answers(served: PageClient) -> Callable[[], Awaitable[bool]]:
    """Asked by who starts such a process: whether its pages come already."""

    async def probe() -> bool:
        try:
            await served.fetch()
        except ScrapeFailed:
            return False
        return True

    return probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first_port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--moving", action="store_true")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.first_port, arguments.count, moving=arguments.moving))


if __name__ == "__main__":
    main()
