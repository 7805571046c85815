"""The client's response reader: however the network cuts the bytes, the response is the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.http1 import End, Head, Malformed, Piece, ResponseReader

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Served-By: a:1\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"6\r\ndata: \r\n1;ext=1\r\n{\r\n0\r\nx-trailer: 1\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH
EMPTY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\nto the end"


def read(reader: ResponseReader, *parts: bytes) -> list[Piece]:
    """The pieces of all parts, neighbouring body pieces joined."""
    joined: list[Piece] = []
    for part in parts:
        for piece in reader.feed(part):
            if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
                joined[-1] += piece
            else:
                joined.append(piece)
    return joined


KEPT = End(reusable=True)
RESPONSES = {
    "length": (
        LENGTH,
        [Head(200, {"content-length": "5", "x-served-by": "a:1"}), b"hello", KEPT],
    ),
    "chunked with extension and trailer": (
        CHUNKED,
        [Head(200, {"transfer-encoding": "chunked"}), b"data: {", KEPT],
    ),
    "an interim response first": (
        CONTINUED,
        [Head(200, {"content-length": "5", "x-served-by": "a:1"}), b"hello", KEPT],
    ),
    "empty, and the connection ends": (
        EMPTY,
        [Head(503, {"content-length": "0", "connection": "close"}), End(reusable=False)],
    ),
    "no content": (NO_CONTENT, [Head(204, {}), KEPT]),
}


@pytest.mark.parametrize(("raw", "pieces"), RESPONSES.values(), ids=RESPONSES)
def test_responses(raw: bytes, pieces: list[Piece]) -> None:
    assert read(ResponseReader(), raw) == pieces


@given(st.data())
def test_cuts_do_not_matter(data: st.DataObject) -> None:
    names = st.sampled_from([n for n in RESPONSES if "ends" not in n])
    chosen = [RESPONSES[name] for name in data.draw(st.lists(names, min_size=1, max_size=4))]
    raw = b"".join(r for r, _ in chosen)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)))) | {0, len(raw)})
    parts = [raw[a:b] for a, b in pairwise(cuts)]
    assert read(ResponseReader(), *parts) == [piece for _, ps in chosen for piece in ps]


def test_a_body_without_length_ends_with_the_connection() -> None:
    reader = ResponseReader()
    assert read(reader, UNTIL_CLOSE) == [Head(200, {}), b"to the end"]
    assert reader.eof() == [End(reusable=False)]


@pytest.mark.parametrize("cut", [0, 10, len(LENGTH) - 1])
def test_a_connection_that_closes_too_early_is_malformed(cut: int) -> None:
    reader = ResponseReader()
    reader.feed(LENGTH[:cut])
    with pytest.raises(Malformed, match="closed in"):
        reader.eof()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", id="header"),
        pytest.param(b"x" * 70_000, id="endless head"),
        pytest.param(CHUNKED.replace(b"6\r\n", b"z\r\n"), id="chunk size"),
        pytest.param(CHUNKED.replace(b"data: \r\n", b"data: xy"), id="no end after a chunk"),
        pytest.param(EMPTY + b"more", id="bytes after the last response"),
    ],
)
def test_what_is_not_a_response_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        ResponseReader().feed(raw)
