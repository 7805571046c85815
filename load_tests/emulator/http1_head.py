"""Bytes of HTTP/1.1 -> the head of a request, the size of a chunk. Pure; ``http1`` calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """Without the query."""
    query: str
    headers: Mapping[str, str]
    """Lower-case names; of repeated ones the values joined by ``, ``."""
    body: bytes
    keep_alive: bool
    http_1_1: bool = True


class BadRequest(Exception):
    """The bytes are no HTTP request that we take; ``status`` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def parse_head(head: bytes) -> Request:
    """A request without its body. Raises BadRequest."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path, _, query = words[1].partition("?")
    connection = headers.get("connection", "").lower()
    http_1_1 = words[2] == "HTTP/1.1"
    keep_alive = http_1_1 and connection != "close"
    return Request(words[0], path, query, headers, b"", keep_alive, http_1_1)


def chunk_size(line: bytes) -> int:
    """Bytes that the line announces; its extensions are passed over. Raises BadRequest."""
    digits = line.partition(b";")[0].strip()
    try:
        size = int(digits, 16)
    except ValueError:
        raise BadRequest(HTTPStatus.BAD_REQUEST) from None
    if size < 0 or digits[:1] in b"+-":
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    return size
