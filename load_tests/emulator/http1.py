"""A thin HTTP/1.1 server connection: bytes to ``Request``, answers to bytes. No routing.

Written for little CPU, because a whole fleet shares a core or two with what is being measured.
Keep-alive, pipelining (one at a time), chunked bodies both ways, ``Expect: 100-continue``; no TLS,
no HTTP/2, no trailers out. Driven by ``server``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from http import HTTPStatus
from typing import cast

from load_tests.emulator.http1_head import BadRequest, Request, chunk_size, parse_head

MAX_HEAD_BYTES = 256 * 1024
MAX_BODY_BYTES = 64 << 20
PIPELINED_BYTES = 64 * 1024
"""What a client may send ahead while its request is being answered; then we stop reading."""

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}


class _Reading(Enum):
    HEAD = "head"
    LENGTH = "length"
    CHUNKS = "chunks"
    ANSWER = "answer"  # a request is out; its answer comes before the next is read
    NOTHING = "nothing"  # the connection will close


Handler = Callable[[Request, "Connection"], None]


class Connection(asyncio.Protocol):
    """One client. ``handler`` gets each request and answers it, now or later.

    The answer is ``respond``, or ``start``, ``send`` any number of times and ``finish``.
    ``on_lost`` and ``on_writable`` belong to the request in hand and are cleared with it.
    """

    def __init__(self, handler: Handler, server_headers: str = "") -> None:
        self._handler = handler
        self._server_headers = server_headers
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._body = bytearray()
        self._reading = _Reading.HEAD
        self._wanted = 0
        self._head: Request | None = None
        self._keep_alive = True
        self._chunked = False
        self._paused = False
        self.writable = True
        self.answered_bytes = 0
        self.on_lost: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of the one that create_server promises.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._reading = _Reading.NOTHING
        self._buffer.clear()
        self._body.clear()
        if self.on_lost is not None:
            self.on_lost()
        self._settle()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._reading is _Reading.ANSWER:
            if len(self._buffer) > PIPELINED_BYTES and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            return
        try:
            self._read()
        except BadRequest as refused:
            self._keep_alive = False
            self.respond(refused.status, refused.status.phrase.encode(), "text/plain")

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self.on_writable is not None:
            self.on_writable()

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        headers: str = "",
    ) -> None:
        """A whole answer. ``headers`` are full lines, each ending in CRLF."""
        head = (
            f"{_STATUS_LINES[status]}content-type: {content_type}\r\n"
            f"content-length: {len(body)}\r\n{headers}{self._ending_headers()}\r\n"
        )
        self.answered_bytes = len(body)
        if self._head is not None and self._head.method == "HEAD":
            body = b""
        self._write(head.encode("latin-1") + body)
        self._next()

    def start(self, status: int, content_type: str, headers: str = "") -> None:
        """The head of an answer in pieces."""
        framing = "transfer-encoding: chunked\r\n" if self._chunked else ""
        head = (
            f"{_STATUS_LINES[status]}content-type: {content_type}\r\n"
            f"{framing}{headers}{self._ending_headers()}\r\n"
        )
        self.answered_bytes = 0
        self._write(head.encode("latin-1"))

    def send(self, data: bytes) -> None:
        """One piece, not empty."""
        self.answered_bytes += len(data)
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def finish(self) -> None:
        """The answer in pieces is whole."""
        if self._chunked:
            self._write(b"0\r\n\r\n")
        self._next()

    def abort(self) -> None:
        """Break the connection, whatever was sent."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Send what is left, then close."""
        if self._transport is not None:
            self._transport.close()

    def _ending_headers(self) -> str:
        return self._server_headers + ("" if self._keep_alive else "connection: close\r\n")

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _settle(self) -> None:
        self.on_lost = None
        self.on_writable = None
        self._head = None

    def _next(self) -> None:
        self._settle()
        if not self._keep_alive:
            self._reading = _Reading.NOTHING
            self.close()
            return
        self._reading = _Reading.HEAD
        if self._transport is not None and self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._buffer:
            # Not at once: a client that pipelines a thousand requests must not nest as deep.
            asyncio.get_running_loop().call_soon(self.data_received, b"")

    def _read(self) -> None:
        while True:
            match self._reading:
                case _Reading.HEAD:
                    if not self._read_head():
                        return
                case _Reading.LENGTH:
                    if len(self._buffer) < self._wanted:
                        return
                    self._body = self._buffer[: self._wanted]
                    del self._buffer[: self._wanted]
                    self._dispatch()
                case _Reading.CHUNKS:
                    if not self._read_chunks():
                        return
                    self._dispatch()
                case _Reading.ANSWER | _Reading.NOTHING:
                    return

    def _read_head(self) -> bool:
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > MAX_HEAD_BYTES:
                raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        head = parse_head(bytes(buffer[:end]))
        del buffer[: end + 4]
        self._head = head
        self._keep_alive = head.keep_alive
        self._chunked = head.http_1_1
        headers = head.headers
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._reading = _Reading.CHUNKS
        else:
            length = headers.get("content-length", "0")
            if not length.isdigit():
                raise BadRequest(HTTPStatus.BAD_REQUEST)
            self._wanted = int(length)
            if self._wanted > MAX_BODY_BYTES:
                raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            self._reading = _Reading.LENGTH
        if headers.get("expect", "").lower() == "100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _read_chunks(self) -> bool:
        """Move whole chunks to the body; whether the last one was there."""
        buffer, at = self._buffer, 0
        try:
            while True:
                line = buffer.find(b"\r\n", at)
                if line < 0:
                    return False
                size = chunk_size(bytes(buffer[at:line]))
                if len(self._body) + size > MAX_BODY_BYTES:
                    raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                if not size:
                    # Trailers, if any, end with an empty line.
                    end = buffer.find(b"\r\n\r\n", line)
                    if end < 0:
                        return False
                    at = end + 4
                    return True
                if len(buffer) < line + 4 + size:
                    return False
                self._body += buffer[line + 2 : line + 2 + size]
                at = line + 4 + size
        finally:
            del buffer[:at]

    def _dispatch(self) -> None:
        head = self._head
        if head is None:
            raise RuntimeError("a body without a head")
        body, self._body = bytes(self._body), bytearray()
        self._reading = _Reading.ANSWER
        self._handler(replace(head, body=body), self)
