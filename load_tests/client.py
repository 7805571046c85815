"""The load client's connections: one request at a time each, kept for the next, timed.

Thin on purpose (see ``load_tests.http1``). Called by ``load_tests.drive``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import orjson

from load_tests.http1 import End, Head, Malformed, ResponseReader

EVENT = b"data: {"
KEPT_TAIL_BYTES = 64 << 10
"""Of a response, for the usage at its end; a whole JSON answer is shorter."""


@dataclass(slots=True)
class Exchange:
    """One request's answer as it was seen."""

    status: int = 0
    served_by: str = ""
    error: str = ""
    token_times: list[float] = field(default_factory=list)
    """When each piece with tokens came; the first is the TTFT."""
    tail: bytearray = field(default_factory=bytearray)

    def usage(self) -> dict[str, object]:
        """The usage object of the answer: of its last SSE event that has one, or of its JSON."""
        events = [line[6:] for line in self.tail.split(b"\n") if line.startswith(b"data: {")]
        for text in (*reversed(events), self.tail):
            with suppress(orjson.JSONDecodeError, AttributeError):
                found = orjson.loads(text).get("usage")
                if isinstance(found, dict):
                    return found
        return {}


class Connection(asyncio.Protocol):
    """One keep-alive connection to Envoy."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._reader = ResponseReader()
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._done: asyncio.Future[bool] | None = None
        self._streaming = False
        self._carry = b""

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, request: bytes, exchange: Exchange) -> bool:
        """Send the request and fill ``exchange``; True if the connection can be kept."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._exchange = exchange
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._done
        except asyncio.CancelledError:
            # An answer may still be under way; nobody else must read it as theirs.
            self.close()
            raise
        finally:
            self._exchange = self._done = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        now = self._now()
        try:
            for piece in self._reader.feed(data):
                self._take(piece, now)
        except Malformed as error:
            self._fail(f"malformed: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._done is None or self._done.done():
            return
        try:
            for piece in self._reader.eof():
                self._take(piece, self._now())
        except Malformed:
            self._fail("connection lost")

    def _take(self, piece: Head | bytes | End, now: float) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if isinstance(piece, bytes):
            exchange.token_times.extend([now] * self._events(piece))
            exchange.tail += piece
            if len(exchange.tail) > KEPT_TAIL_BYTES:
                del exchange.tail[: -KEPT_TAIL_BYTES // 2]
        elif isinstance(piece, Head):
            exchange.status = piece.status
            exchange.served_by = piece.headers.get("x-served-by", "")
            self._streaming = "event-stream" in piece.headers.get("content-type", "")
            self._carry = b""
        elif self._done is not None and not self._done.done():
            self._done.set_result(piece.reusable)

    def _events(self, piece: bytes) -> int:
        """SSE events that begin (or whose beginning is completed) in this piece."""
        if not self._streaming:
            return 1
        text = self._carry + piece
        self._carry = text[1 - len(EVENT) :]
        return text.count(EVENT)

    def _fail(self, error: str) -> None:
        if self._exchange is not None:
            self._exchange.error = error
        if self._done is not None and not self._done.done():
            self._done.set_result(False)
        self.close()
