"""One HTTP/1.x response to ``GET /metrics``, read as its bytes come in. No IO.

Only what a metrics page needs: status 200, an identity-coded body of known length, in chunks or
until the connection closes. Everything else is a ``ScrapeFailed`` that says why.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

MAX_HEAD_BYTES = 32 << 10
"""Status line and headers, and likewise the trailers of a chunked body."""
_MAX_SIZE_LINE = 256
_MAX_HEX_DIGITS = 8
_MAX_LENGTH_DIGITS = 15
_OK: Final = 200


class Reason(Enum):
    """Why a scrape brought nothing; the value is the metric's label."""

    CONNECT = "connect"  # refused, unreachable, TLS
    TIMEOUT = "timeout"
    STATUS = "status"  # an answer other than 200
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"  # not HTTP, or a coding that was not asked for
    CLOSED = "closed"  # the connection ended before the page did
    INTERNAL = "internal"  # our own error


class ScrapeFailed(Exception):
    """A scrape that brought nothing. The last numbers stay; their age tells."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason


class PageResponse:
    """Feed it what arrives; it is ``complete`` once the page is whole.

    Raises ScrapeFailed as soon as it is sure that no page will come of it; it must not be fed
    after that.
    """

    def __init__(self, max_bytes: int) -> None:
        self.complete = False
        self.reusable = False
        """Whether the connection may carry the next request; meaningful once complete."""
        self.started = False
        """Whether a byte has come."""
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._in_body = False
        self._length: int | None = None
        self._chunked = False
        self._chunk_left = 0
        self._line_end_due = False
        self._in_trailers = False
        self._parts: list[bytes] = []
        self._received = 0

    @property
    def page(self) -> bytes:
        """The body so far."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def feed(self, data: bytes) -> None:
        """``data`` came from the connection."""
        self.started = True
        if not self._in_body:
            body = self._head(bytes(self._buffer) + data if self._buffer else data)
            if body is None:
                return
            data = body
        if self._chunked:
            self._buffer += data
            self._chunks()
        else:
            self._plain(data)

    def end(self) -> None:
        """The connection was closed by the other side."""
        if self._in_body and not self._chunked and self._length is None:
            self.complete = True
        elif not self.complete:
            raise ScrapeFailed(Reason.CLOSED, f"connection closed after {self._received} bytes")

    def _head(self, data: bytes) -> bytes | None:
        """Read status and headers; what follows them, or None if they are not all there yet."""
        while True:
            end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
            if end < 0:
                if len(data) >= MAX_HEAD_BYTES:
                    raise ScrapeFailed(Reason.MALFORMED, "headers without end")
                self._buffer = bytearray(data)
                return None
            lines = data[:end].split(b"\r\n")
            data = data[end + 4 :]
            version, status = _status(lines[0])
            if status >= _OK:  # 1xx only announces the real one
                break
        if status != _OK:
            raise ScrapeFailed(Reason.STATUS, f"answered {status}")
        self._headers(lines[1:], keeps_alive=version == b"HTTP/1.1")
        self._in_body = True
        self._buffer = bytearray()
        return data

    def _headers(self, lines: list[bytes], *, keeps_alive: bool) -> None:
        transfer = b""
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise ScrapeFailed(Reason.MALFORMED, f"header line {line[:80]!r}")
            name, value = name.lower(), value.strip().lower()
            if name == b"content-length":
                length = _length(value)
                if self._length not in (None, length):
                    raise ScrapeFailed(Reason.MALFORMED, "two lengths")
                self._length = length
            elif name == b"transfer-encoding":
                transfer = value
            elif name == b"content-encoding" and value != b"identity":
                raise ScrapeFailed(Reason.MALFORMED, f"coded as {value[:40]!r}, not asked for")
            elif name == b"connection":
                options = {option.strip() for option in value.split(b",")}
                keeps_alive = b"close" not in options and (keeps_alive or b"keep-alive" in options)
        if transfer not in (b"", b"chunked"):
            raise ScrapeFailed(Reason.MALFORMED, f"transferred as {transfer[:40]!r}")
        self._chunked = transfer == b"chunked"
        if self._chunked:
            self._length = None
        if self._length is not None and self._length > self._max_bytes:
            raise ScrapeFailed(Reason.TOO_LARGE, f"{self._length} bytes")
        self.reusable = keeps_alive and (self._chunked or self._length is not None)

    def _take(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._max_bytes:
            raise ScrapeFailed(Reason.TOO_LARGE, f"more than {self._max_bytes} bytes")
        if data:
            self._parts.append(data)

    def _plain(self, data: bytes) -> None:
        left = None if self._length is None else self._length - self._received
        if left is not None and len(data) > left:
            self.reusable = False  # bytes that nobody asked for
            data = data[:left]
        self._take(data)
        self.complete = self._length is not None and self._received == self._length

    def _chunks(self) -> None:
        """Move whatever is whole from the buffer to the body."""
        buffer, at = self._buffer, 0
        while not self.complete:
            if self._chunk_left:
                data = bytes(buffer[at : at + self._chunk_left])
                if not data:
                    break
                at += len(data)
                self._chunk_left -= len(data)
                self._line_end_due = not self._chunk_left
                self._take(data)
                continue
            end = buffer.find(b"\r\n", at)
            if end < 0:
                if len(buffer) - at > _MAX_SIZE_LINE:
                    raise ScrapeFailed(Reason.MALFORMED, "a chunk without size")
                break
            line, at = bytes(buffer[at:end]), end + 2
            if self._line_end_due:
                if line:
                    raise ScrapeFailed(Reason.MALFORMED, "a chunk longer than its size")
                self._line_end_due = False
            elif self._in_trailers:
                self.complete = not line
            elif size := _chunk_size(line):
                self._chunk_left = size
            else:
                self._in_trailers = True
        if self.complete and at < len(buffer):
            self.reusable = False
        del buffer[:at]


def _status(line: bytes) -> tuple[bytes, int]:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) != 3 or not code.isdigit():
        raise ScrapeFailed(Reason.MALFORMED, f"status line {line[:80]!r}")
    return version, int(code)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise ScrapeFailed(Reason.MALFORMED, f"length {value[:40]!r}")
    return int(value)


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > _MAX_HEX_DIGITS or digits.strip(b"0123456789abcdefABCDEF"):
        raise ScrapeFailed(Reason.MALFORMED, f"chunk size {line[:40]!r}")
    return int(digits, 16)
