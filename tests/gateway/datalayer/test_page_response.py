"""HTTP responses to GET /metrics: whole, in pieces, wrong, and never the end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.page_response import MAX_HEAD_BYTES, PageResponse, Reason, ScrapeFailed

LIMIT = 1000


def read(*pieces: bytes, end: bool = False) -> PageResponse:
    response = PageResponse(LIMIT)
    for piece in pieces:
        response.feed(piece)
    if end:
        response.end()
    return response


def reason(*pieces: bytes, end: bool = False) -> Reason:
    with pytest.raises(ScrapeFailed) as raised:
        read(*pieces, end=end)
    return raised.value.reason


def with_length(body: bytes, *headers: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join(
        [version + b" 200 OK", b"Content-Length: %d" % len(body), *headers, b"", body]
    )


def in_chunks(parts: Sequence[bytes], trailers: bytes = b"") -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n" + trailers + b"\r\n"


@pytest.mark.parametrize(
    ("raw", "page", "reusable"),
    [
        pytest.param(with_length(b"kv 1\n"), b"kv 1\n", True, id="length"),
        pytest.param(with_length(b""), b"", True, id="nothing"),
        pytest.param(in_chunks([b"kv", b" 1\n"]), b"kv 1\n", True, id="chunks"),
        pytest.param(in_chunks([]), b"", True, id="no chunks"),
        pytest.param(in_chunks([b"kv"], b"x: y\r\n"), b"kv", True, id="trailers"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nkv\r\n0\r\n\r\n",
            b"kv",
            True,
            id="chunk extension",
        ),
        pytest.param(with_length(b"kv", b"Connection: close"), b"kv", False, id="close"),
        pytest.param(with_length(b"kv", version=b"HTTP/1.0"), b"kv", False, id="HTTP/1.0"),
        pytest.param(
            with_length(b"kv", b"Connection: keep-alive", version=b"HTTP/1.0"),
            b"kv",
            True,
            id="HTTP/1.0 kept alive",
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\n" + with_length(b"kv"), b"kv", True, id="after a 100"
        ),
        pytest.param(
            with_length(b"kv", b"Content-Length: 2", b"content-encoding: identity"),
            b"kv",
            True,
            id="the same length twice",
        ),
        pytest.param(with_length(b"kv") + b"more", b"kv", False, id="bytes after the end"),
        pytest.param(in_chunks([b"kv"]) + b"more", b"kv", False, id="bytes after the last chunk"),
        pytest.param(with_length(b"k" * LIMIT), b"k" * LIMIT, True, id="as long as allowed"),
    ],
)
def test_a_page_is_read_however_it_is_cut(raw: bytes, page: bytes, reusable: bool) -> None:
    whole = read(raw)
    assert (whole.complete, whole.page, whole.reusable) == (True, page, reusable)
    for cut in range(len(raw)):
        response = PageResponse(LIMIT)
        response.feed(raw[:cut])
        if not response.complete:
            response.feed(raw[cut:])
        assert (response.complete, response.page) == (True, page)


def test_a_page_may_end_with_its_connection() -> None:
    response = read(b"HTTP/1.1 200 OK\r\n\r\nkv", b" 1\n", end=True)
    assert (response.complete, response.page, response.reusable) == (True, b"kv 1\n", False)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="in the headers"),
        pytest.param(with_length(b"kv 1\n")[:-1], id="in the body"),
        pytest.param(in_chunks([b"kv"])[:-1], id="in the trailers"),
        pytest.param(in_chunks([b"kv"])[:-8], id="in a chunk"),
    ],
)
def test_half_a_page_is_no_page(raw: bytes) -> None:
    """A number may have been cut in two: 2 of 20."""
    assert reason(raw, end=True) is Reason.CLOSED


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"HTTP/1.1 500 No\r\n\r\n", Reason.STATUS, id="500"),
        pytest.param(b"HTTP/1.1 404\r\n\r\n", Reason.STATUS, id="404 without words"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", Reason.STATUS, id="204"),
        pytest.param(b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", Reason.STATUS, id="redirect"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", Reason.MALFORMED, id="not HTTP"),
        pytest.param(b"HTTP/2 200\r\n\r\n", Reason.MALFORMED, id="HTTP/2"),
        pytest.param(b"HTTP/1.1 2x0 OK\r\n\r\n", Reason.MALFORMED, id="status not a number"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Reason.MALFORMED, id="no header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\na: b\r\n folded: c\r\n\r\n", Reason.MALFORMED, id="folded header"
        ),
        pytest.param(b"x" * MAX_HEAD_BYTES, Reason.MALFORMED, id="headers without end"),
        pytest.param(with_length(b"kv", b"Content-Length: 3"), Reason.MALFORMED, id="two lengths"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Reason.MALFORMED, id="negative"
        ),
        pytest.param(
            with_length(b"kv", b"Content-Encoding: gzip"), Reason.MALFORMED, id="compressed"
        ),
        pytest.param(
            with_length(b"kv", b"Transfer-Encoding: gzip, chunked"), Reason.MALFORMED, id="coded"
        ),
        pytest.param(with_length(b"k" * (LIMIT + 1)), Reason.TOO_LARGE, id="long by its header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n\r\n" + b"k" * (LIMIT + 1), Reason.TOO_LARGE, id="long by itself"
        ),
        pytest.param(in_chunks([b"k" * 600] * 2), Reason.TOO_LARGE, id="long in chunks"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
            Reason.MALFORMED,
            id="absurd chunk",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nkv\r\n",
            Reason.MALFORMED,
            id="negative chunk",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nkvx\r\n",
            Reason.MALFORMED,
            id="chunk longer than its size",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 300,
            Reason.MALFORMED,
            id="chunk size without end",
        ),
    ],
)
def test_what_is_no_page_says_why(raw: bytes, expected: Reason) -> None:
    assert reason(raw) is expected


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5), st.booleans())
def test_any_page_in_any_pieces(body: bytes, cuts: list[int], chunked: bool) -> None:
    third = len(body) // 3
    raw = in_chunks([body[:third], body[third:]]) if chunked else with_length(body)
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    response = PageResponse(LIMIT)
    for start, end in pairwise(places):
        if not response.complete:
            response.feed(raw[start:end])
    assert (response.complete, response.page) == (True, body)


@given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n"]))
def test_noise_ends_in_a_named_failure_or_waits(pieces: list[bytes], head: bytes) -> None:
    response = PageResponse(LIMIT)
    with suppress(ScrapeFailed):
        for piece in (head, *pieces):
            if not response.complete:
                response.feed(piece)
    assert len(response.page) <= LIMIT
