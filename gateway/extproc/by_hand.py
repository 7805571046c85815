"""Headers and pieces of a body, read and written without protobuf's objects: nearly all there is.

Exact: only the shape in which every serializer writes them is read here, and anything else is
left to protobuf; what is written is what protobuf would write (a test compares both ways).
Called by ``decode`` and ``encode``.
"""

from __future__ import annotations

from functools import lru_cache

REQUEST_HEADERS, RESPONSE_HEADERS = 0x12, 0x1A
REQUEST_BODY, RESPONSE_BODY = 0x22, 0x2A
"""First bytes of a ProcessingRequest whose first field is this."""
ANSWER_REQUEST_BODY, ANSWER_RESPONSE_BODY = b"\x1a", b"\x22"
"""First bytes of a ProcessingResponse for a body."""

_BODY, _END_OF_STREAM = 0x0A, 0x10
_HEADER_MAP, _HEADER, _END_AT_HEADERS = 0x0A, 0x0A, 0x18
_KEY, _RAW_VALUE = 0x0A, 0x1A
_LONGEST_VARINT = 4  # bytes; lengths below 256 MiB
_TOLD_LENGTHS = 4096


def body(payload: bytes) -> tuple[bytes, bool, bytes] | None:
    """(chunk, end of stream, the bytes after the body) of a serialized ProcessingRequest.

    ``payload`` begins with REQUEST_BODY or RESPONSE_BODY. None if it is written in another way.
    """
    try:
        length, at = _varint(payload, 1)
        end = at + length
        start = stop = at
        if at < end and payload[at] == _BODY:
            length, start = _varint(payload, at + 1)
            stop = start + length
        if stop == end:
            ends = False
        elif stop + 2 == end and payload[stop] == _END_OF_STREAM and payload[stop + 1] == 1:
            ends = True
        else:
            return None
    except IndexError:
        return None
    if end > len(payload):
        return None
    return payload[start:stop], ends, payload[end:]


def headers(payload: bytes) -> tuple[list[bytes], bool, bytes] | None:
    """(each ``HeaderValue`` as it is encoded, end of stream, the bytes after the headers).

    ``payload`` is a serialized ProcessingRequest that begins with REQUEST_HEADERS or
    RESPONSE_HEADERS. None if it is written in another way.
    """
    found: list[bytes] = []
    ends = False
    try:
        length, at = _varint(payload, 1)
        end = at + length
        if at < end and payload[at] == _HEADER_MAP:
            length, at = _varint(payload, at + 1)
            stop = at + length
            while at < stop:
                if payload[at] != _HEADER:
                    return None
                length, at = payload[at + 1], at + 2
                if length >= 128:
                    length, at = _varint(payload, at - 1)
                found.append(payload[at : at + length])
                at += length
            if at != stop:
                return None
        if at + 2 == end and payload[at] == _END_AT_HEADERS and payload[at + 1] == 1:
            ends, at = True, end
    except IndexError:
        return None
    if at != end or end > len(payload):
        return None
    return found, ends, payload[end:]


def header(encoded: bytes) -> tuple[str, str] | None:
    """Name and value of one short ``HeaderValue`` whose value is in ``raw_value``; or None.

    The name is ASCII; of the value, what is not UTF-8 is kept as lone surrogates.
    """
    try:
        stop = 2 + encoded[1]
        value = stop + 2
        if (
            encoded[0] != _KEY
            or encoded[stop] != _RAW_VALUE
            or value + encoded[stop + 1] != len(encoded)
            or max(encoded[1], encoded[stop + 1]) >= 128
        ):
            return None
    except IndexError:
        return None
    name = encoded[2:stop]
    if not name.isascii():
        return None  # it may be no UTF-8, which protobuf refuses
    return name.decode("ascii"), encoded[value:].decode("utf-8", "surrogateescape")


def stream_body(kind: bytes, chunk: bytes, end_of_stream: bool) -> bytes:
    """A serialized ProcessingResponse with one ``StreamedBodyResponse``."""
    head = _stream_body_head(kind, len(chunk), end_of_stream)
    return head + chunk + b"\x10\x01" if end_of_stream else head + chunk


@lru_cache(maxsize=_TOLD_LENGTHS)
def _stream_body_head(kind: bytes, size: int, end_of_stream: bool) -> bytes:
    """All that stands before the chunk: ``response.body_mutation.streamed_response.body``."""
    head = b"\x0a" + _as_varint(size) if size else b""
    rest = size + 2 * end_of_stream
    for tag in (b"\x1a", b"\x1a", b"\x0a", kind):
        head = tag + _as_varint(len(head) + rest) + head
    return head


def _varint(encoded: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends). Raises IndexError if it ends too late, or not at all."""
    value = encoded[at]
    if value < 128:
        return value, at + 1
    value &= 127
    for number in range(1, _LONGEST_VARINT):
        byte = encoded[at + number]
        value |= (byte & 127) << 7 * number
        if byte < 128:
            return value, at + number + 1
    raise IndexError


def _as_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
