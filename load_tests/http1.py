"""Reads HTTP/1.1 responses from bytes as they come. No IO.

A load client on two shared cores must cost less than what it measures, so this reader knows only
what Envoy sends: no continuations, no compression, no HTTP/2. Called by ``load_tests.client``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

MAX_HEAD_BYTES = 64 << 10
MAX_CHUNK_LINE_BYTES = 64


class Malformed(ValueError):
    """The bytes are not an HTTP/1.1 response."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers; names in lower case, the last of a repeated one wins."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """The response is whole."""

    reusable: bool
    """The connection can carry another request."""


Piece: TypeAlias = Head | bytes | End


class _At(Enum):
    HEAD = "head"
    LENGTH = "body of known length"
    CHUNK_LINE = "chunk size"
    CHUNK = "chunk"
    CHUNK_END = "end of a chunk"
    TRAILERS = "trailers"
    CLOSE = "body until the connection closes"
    DONE = "done"


class ResponseReader:
    """One connection's responses, one after another; ``feed`` gives what the bytes complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = _At.HEAD
        self._left = 0
        self._keep_alive = True

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that ``data`` completes. Body pieces are as the network cut them.

        Raises Malformed.
        """
        self._buffer += data
        pieces: list[Piece] = []
        while self._step(pieces):
            pass
        return pieces

    def eof(self) -> list[Piece]:
        """The connection was closed by the other side: the end of a response, or Malformed."""
        if self._at is _At.CLOSE:
            self._at = _At.DONE
            return [End(reusable=False)]
        raise Malformed(f"closed in {self._at.value}")

    def _step(self, pieces: list[Piece]) -> bool:
        """Take one thing off the buffer; False when it holds no whole one."""
        buffer = self._buffer
        match self._at:
            case _At.HEAD:
                end = buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(buffer) > MAX_HEAD_BYTES:
                        raise Malformed("head is too long")
                    return False
                head = _head(bytes(buffer[:end]))
                del buffer[: end + 4]
                if head.status >= 200:
                    pieces.append(head)
                    self._begin_body(head, pieces)
                return True
            case _At.LENGTH | _At.CHUNK:
                if not buffer:
                    return False
                piece = bytes(buffer[: self._left])
                del buffer[: self._left]
                self._left -= len(piece)
                pieces.append(piece)
                if not self._left:
                    if self._at is _At.LENGTH:
                        self._finish(pieces)
                    else:
                        self._at = _At.CHUNK_END
                return True
            case _At.CLOSE:
                if buffer:
                    pieces.append(bytes(buffer))
                    buffer.clear()
                return False
            case _At.CHUNK_LINE:
                line = self._line(MAX_CHUNK_LINE_BYTES)
                if line is None:
                    return False
                try:
                    self._left = int(line.partition(b";")[0], 16)
                except ValueError:
                    raise Malformed(f"chunk size {line!r}") from None
                self._at = _At.CHUNK if self._left else _At.TRAILERS
                return True
            case _At.CHUNK_END:
                line = self._line(0)
                if line is None:
                    return False
                self._at = _At.CHUNK_LINE
                return True
            case _At.TRAILERS:
                line = self._line(MAX_HEAD_BYTES)
                if line is None:
                    return False
                if not line:
                    self._finish(pieces)
                return True
            case _At.DONE:
                if buffer:
                    raise Malformed("bytes after the response")
                return False

    def _begin_body(self, head: Head, pieces: list[Piece]) -> None:
        headers = head.headers
        self._keep_alive = headers.get("connection", "").lower() != "close"
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._at = _At.CHUNK_LINE
        elif "content-length" in headers:
            self._left = int(headers["content-length"])
            self._at = _At.LENGTH
            if not self._left:
                self._finish(pieces)
        elif head.status in (204, 304):
            self._finish(pieces)
        else:
            self._at = _At.CLOSE

    def _finish(self, pieces: list[Piece]) -> None:
        pieces.append(End(reusable=self._keep_alive))
        self._at = _At.HEAD if self._keep_alive else _At.DONE

    def _line(self, limit: int) -> bytes | None:
        """Take a line of at most ``limit`` bytes off the buffer, without its end."""
        end = self._buffer.find(b"\r\n")
        if end > limit or (end < 0 and len(self._buffer) > limit + 1):
            raise Malformed(f"line too long in {self._at.value}")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _head(head: bytes) -> Head:
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise Malformed(f"status line {status_line!r}")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed(f"header {line!r}")
        headers[name.lower()] = value.strip()
    return Head(int(rest[:3]), headers)
