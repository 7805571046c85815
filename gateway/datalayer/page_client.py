"""Fetches one model server's metrics page over one kept connection. IO only.

A protocol of its own rather than an HTTP library because of what a library costs: it fetches a
52 KB page for less than half the CPU of aiohttp's client (28 us against 65 us on one core;
``python -m load_tests.idle --clients``), and a busy fleet means 800 pages a second. It also
follows no redirect, sends no cookie, and holds no more of an answer than it was told to.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast
from urllib.parse import quote

from gateway.datalayer.page_response import PageResponse, Reason, ScrapeFailed
from gateway.datalayer.state import host_port

MAX_PAGE_BYTES = 8 << 20
# What a path and a query may hold as it is, % included: it may be quoted already.
_PATH_CHARACTERS = "/?%:@!$&'()*+,;="


class PageClient:
    """The page at ``http(s)://address:port/path``; one fetch at a time. ``close`` when done."""

    def __init__(
        self,
        address: str,
        port: int,
        path: str = "/metrics",
        tls: ssl.SSLContext | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> None:
        self._address = address
        self._port = port
        self._tls = tls
        self._max_bytes = max_bytes
        self._connection: _Connection | None = None
        self._request = (
            f"GET /{quote(path.removeprefix('/'), safe=_PATH_CHARACTERS)} HTTP/1.1\r\n"
            f"Host: {host_port(address, port)}\r\n"
            "User-Agent: loadstar-gateway\r\n"
            "Accept: text/plain;version=0.0.4, */*;q=0.5\r\n"
            "Accept-Encoding: identity\r\n\r\n"
        ).encode("ascii")

    async def fetch(self) -> bytes:
        """The page. Raises ScrapeFailed; cancelling it gives up the connection."""
        kept = self._connection
        if kept is not None and not kept.closed:
            try:
                return await self._over(kept)
            except ScrapeFailed as failure:
                # The server may have closed an idle connection just as we wrote to it.
                if failure.reason is not Reason.CLOSED or kept.answered:
                    raise
        return await self._over(await self._connect())

    def close(self) -> None:
        """Give up the connection."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self._max_bytes), self._address, self._port, ssl=self._tls
            )
        except OSError as error:
            raise ScrapeFailed(Reason.CONNECT, str(error)) from error
        self._connection = connection
        return connection

    async def _over(self, connection: _Connection) -> bytes:
        try:
            response = await connection.ask(self._request)
        except BaseException:
            self.close()
            raise
        if not response.reusable:
            self.close()
        return response.page


class _Connection(asyncio.Protocol):
    """One TCP (or TLS) connection, and the response that is being read from it."""

    def __init__(self, max_bytes: int) -> None:
        self.closed = False
        self.answered = False
        """Whether anything came back on the request now or last made."""
        self._max_bytes = max_bytes
        self._transport: asyncio.Transport | None = None
        self._response: PageResponse | None = None
        self._whole: asyncio.Future[PageResponse] | None = None

    async def ask(self, request: bytes) -> PageResponse:
        """Send ``request`` and wait for all of its response. Raises ScrapeFailed."""
        if self._transport is None or self.closed:
            raise ScrapeFailed(Reason.CLOSED, "connection closed")
        self.answered = False
        self._response = PageResponse(self._max_bytes)
        self._whole = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._whole
        finally:
            self._response = self._whole = None

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport says without being one.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        response, whole = self._response, self._whole
        if response is None or whole is None or whole.done():
            self.abort()  # bytes that nobody asked for
            return
        self.answered = True
        try:
            response.feed(data)
        except ScrapeFailed as failure:
            whole.set_exception(failure)
            self.abort()
            return
        if response.complete:
            whole.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        response, whole = self._response, self._whole
        if response is None or whole is None or whole.done():
            return
        try:
            response.end()
        except ScrapeFailed as failure:
            whole.set_exception(failure)
        else:
            whole.set_result(response)
