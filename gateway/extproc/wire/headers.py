"""Request headers checked against RFC 9113 section 8, and the few header blocks we send.

Our own blocks are literals without indexing, so they are constant bytes and need no encoder: the
peer's table never changes by what we send.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from gateway.extproc.wire.frames import Code, StreamFailed

FORBIDDEN = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
TABLE_SIZE_ZERO = b"\x20"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What we read of a request's headers."""

    method: bytes
    path: bytes
    content_type: bytes
    timeout_seconds: float | None
    content_length: int | None
    encoding: bytes


def request_head(stream_id: int, headers: Iterable[tuple[bytes, bytes]]) -> RequestHead:
    """Check and read request headers.

    Raises:
        StreamFailed: PROTOCOL_ERROR, the request is malformed (RFC 9113 section 8.1.1).
    """
    pseudo: dict[bytes, bytes] = {}
    regular = False
    content_type = b""
    encoding = b"identity"
    timeout: float | None = None
    length: int | None = None
    for name, value in headers:
        if name[:1] == b":":
            if regular or name in pseudo or name not in PSEUDO:
                raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "bad pseudo-header")
            pseudo[name] = value
            continue
        regular = True
        _check_name(stream_id, name, value)
        if name == b"content-type":
            content_type = value
        elif name == b"grpc-timeout":
            timeout = timeout_seconds(value)
        elif name == b"grpc-encoding":
            encoding = value
        elif name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "bad content-length")
            length = int(value)
    method, path = pseudo.get(b":method"), pseudo.get(b":path")
    if not method or not path or not pseudo.get(b":scheme"):
        raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "missing pseudo-header")
    return RequestHead(method, path, content_type, timeout, length, encoding)


def check_trailers(stream_id: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Trailers hold no pseudo-headers and nothing connection-specific.

    Raises:
        StreamFailed: PROTOCOL_ERROR.
    """
    for name, value in headers:
        if name[:1] == b":":
            raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "pseudo-header in trailers")
        _check_name(stream_id, name, value)


def _check_name(stream_id: int, name: bytes, value: bytes) -> None:
    if not name or name in FORBIDDEN or name != name.lower():
        raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "bad header name")
    if name == b"te" and value != b"trailers":
        raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "te may only be trailers")


TIMEOUT_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def timeout_seconds(value: bytes) -> float | None:
    """``grpc-timeout`` in seconds; None where it is not well formed (then there is no deadline)."""
    digits, unit = value[:-1], TIMEOUT_UNITS.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > 8:
        return None
    return int(digits) * unit


def literal(name: bytes, value: bytes) -> bytes:
    """One header, literal without indexing, new name (RFC 7541 section 6.2.2); no Huffman."""
    return b"\x00" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest = len(text) - 127
    head = bytearray((127,))
    while rest >= 128:
        head.append(rest & 127 | 128)
        rest >>= 7
    head.append(rest)
    return bytes(head) + text


PRINTABLE = "".join(chr(c) for c in range(0x20, 0x7F) if c != ord("%"))
STATUS_200 = b"\x88"
GRPC_HEADERS = STATUS_200 + literal(b"content-type", b"application/grpc")
GRPC_OK = literal(b"grpc-status", b"0")


@lru_cache(maxsize=64)
def grpc_trailers(status: int, message: str) -> bytes:
    """The trailers block of a gRPC answer; ``message`` is percent-encoded as gRPC wants it."""
    block = literal(b"grpc-status", str(status).encode())
    if message:
        block += literal(b"grpc-message", quote(message, safe=PRINTABLE).encode())
    return block


def plain_headers(status: int, body: bytes) -> bytes:
    """The headers block of an answer to a request that is not gRPC."""
    first = STATUS_200 if status == 200 else literal(b":status", str(status).encode())
    return (
        first
        + literal(b"content-type", b"text/plain; charset=utf-8")
        + literal(b"content-length", str(len(body)).encode())
    )
