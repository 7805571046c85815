"""A model server's metrics port, in process, that misbehaves as told."""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum
from types import TracebackType
from typing import Self

CALM = (
    b'vllm:num_requests_waiting{engine="0"} 0\n'
    b'vllm:num_requests_running{engine="0"} 0\n'
    b'vllm:kv_cache_usage_perc{engine="0"} 0\n'
)


def load_page(waiting: float = 0, running: float = 0, kv_used: float = 0) -> bytes:
    """A vLLM page with nothing but the load."""
    return (
        f'vllm:num_requests_waiting{{engine="0"}} {waiting}\n'
        f'vllm:num_requests_running{{engine="0"}} {running}\n'
        f'vllm:kv_cache_usage_perc{{engine="0"}} {kv_used}\n'
    ).encode()


class Manner(Enum):
    """How it answers a request."""

    FINE = "fine"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"  # no length; the page ends with the connection
    CLOSES_AFTER = "closes after"  # promises keep-alive and closes all the same
    SLOW = "slow"  # after ``delay`` seconds
    DRIPS = "drips"  # a byte every ``delay`` seconds
    HANGS = "hangs"  # never
    HALF = "half"  # closes in the middle of the page
    CLOSES = "closes"  # without a word
    ERROR = "error"  # 500, with a page that would be good
    GARBAGE = "garbage"  # bytes that are not HTTP
    HUGE = "huge"  # a page without end
    BABBLES = "babbles"  # the page, and then bytes that nobody asked for


class ModelServer:
    """``async with ModelServer() as server``: listens on ``server.port`` of 127.0.0.1."""

    def __init__(self, page: bytes = CALM, manner: Manner = Manner.FINE) -> None:
        self.page = page
        self.manner = manner
        self.delay = 0.05
        self.requests = 0
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._stopped = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._stopped.clear()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def connected(self) -> int:
        """Connections open now."""
        return len(self._open)

    async def stop(self) -> None:
        """Stop listening and drop every connection, as a pod that is killed."""
        if self._server is None:
            return
        self._server.close()
        self._stopped.set()
        for writer in tuple(self._open):
            writer.transport.abort()
        # Every handler leaves by itself, so that the loop has none to cancel.
        while self._open:  # noqa: ASYNC110 - a fake may poll
            await asyncio.sleep(0.001)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    self.requests += 1
                    if not await self._answer(writer):
                        break
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._open.discard(writer)

    async def _answer(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        page, manner = self.page, self.manner
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page)
        if manner is Manner.SLOW:
            await asyncio.sleep(self.delay)
        elif manner is Manner.HANGS:
            await self._stopped.wait()
            return False
        elif manner is Manner.CLOSES:
            return False
        elif manner is Manner.DRIPS:
            for byte in whole:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(self.delay)
            return True
        elif manner is Manner.HUGE:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n%b\r\n" % (b"x" * 0x10000))
                await writer.drain()
        writer.write(
            {
                Manner.CHUNKED: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"%x\r\n%b\r\n0\r\n\r\n" % (len(page), page),
                Manner.UNTIL_CLOSE: b"HTTP/1.1 200 OK\r\n\r\n" + page,
                Manner.HALF: whole[: -len(page) // 2],
                Manner.ERROR: whole.replace(b"200 OK", b"500 Internal Server Error"),
                Manner.GARBAGE: b"\x16\x03\x01\x02\x00" * 100 + b"\r\n\r\n",
                Manner.BABBLES: whole + b"and another thing\r\n",
            }.get(manner, whole)
        )
        await writer.drain()
        return manner not in (Manner.UNTIL_CLOSE, Manner.HALF, Manner.CLOSES_AFTER)
