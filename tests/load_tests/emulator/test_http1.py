"""Bytes in, requests out; answers in, bytes out; however the network cuts them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.emulator.http1 import PIPELINED_BYTES, Connection
from load_tests.emulator.http1_head import Request


class Wire(asyncio.Transport):
    """A transport that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Client:
    """A connection whose handler notes each request and answers only when told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.wire = Wire()
        self.connection = Connection(lambda request, _: self.requests.append(request))
        self.connection.connection_made(self.wire)

    def send(self, data: bytes, cuts: tuple[int, ...] = ()) -> None:
        start = 0
        for cut in (*sorted(cuts), len(data)):
            self.connection.data_received(data[start:cut])
            start = max(start, cut)


POST = b"POST /v1/completions?a=b HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two: 2\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n4;x=y\r\nhell\r\nA\r\no world!!!\r\n0\r\n"
LENGTH = POST + b"Content-Length: 14\r\n\r\nhello world!!!"


@given(
    st.sampled_from([LENGTH, CHUNKED + b"\r\n", CHUNKED + b"T: 1\r\nU: 2\r\n\r\n"]),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_a_request_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    client = Client()
    client.send(data, tuple(min(cut, len(data)) for cut in cuts))
    (request,) = client.requests
    assert (request.method, request.path, request.query) == ("POST", "/v1/completions", "a=b")
    assert (request.body, request.headers["x-two"]) == (b"hello world!!!", "1, 2")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"hello\r\n\r\n", 400, id="no request line"),
        pytest.param(b"GET / HTTP/2\r\n\r\n", 400, id="not HTTP/1"),
        pytest.param(b"GET / HTTP/1.1\r\nbad\r\n\r\n", 400, id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nx : 1\r\n\r\n", 400, id="space before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, id="negative"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413, id="large"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400, id="chunk size"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n\r\n", 400, id="no chunk size"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nfffffff0\r\n", 413, id="chunk"),
        pytest.param(b"x" * 300_000, 431, id="endless head"),
    ],
)
def test_what_is_refused_closes_the_connection(data: bytes, status: int) -> None:
    client = Client()
    client.send(data)
    assert client.requests == []
    assert client.wire.sent.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close\r\n" in client.wire.sent
    assert client.wire.closed


async def test_pipelined_requests_are_answered_one_after_the_other() -> None:
    client = Client()
    client.send(LENGTH * 2)
    assert len(client.requests) == 1
    client.connection.respond(200, b"one", "text/plain")
    await asyncio.sleep(0)
    assert len(client.requests) == 2


async def test_a_client_that_sends_far_ahead_is_not_read() -> None:
    client = Client()
    client.send(LENGTH)
    client.send(b"GET / HTTP/1.1\r\nx: " + b"y" * PIPELINED_BYTES)
    assert not client.wire.reading
    client.connection.respond(200, b"", "text/plain")
    assert client.wire.reading


def test_a_whole_answer() -> None:
    client = Client()
    client.send(LENGTH)
    client.connection.respond(404, b"{}", headers="x-a: 1\r\n")
    assert bytes(client.wire.sent) == (
        b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
        b"x-a: 1\r\n\r\n{}"
    )


def test_an_answer_in_pieces_is_chunked() -> None:
    client = Client()
    client.send(LENGTH)
    client.connection.start(200, "text/event-stream")
    client.connection.send(b"data: hello world\n\n")
    client.connection.finish()
    head, _, body = bytes(client.wire.sent).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"13\r\ndata: hello world\n\n\r\n0\r\n\r\n"


def test_http_1_0_gets_a_plain_stream_and_an_end() -> None:
    client = Client()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    client.connection.start(200, "text/event-stream")
    client.connection.send(b"abc")
    client.connection.finish()
    assert bytes(client.wire.sent).endswith(b"\r\n\r\nabc")
    assert client.wire.closed


def test_head_has_no_body() -> None:
    client = Client()
    client.send(b"HEAD /metrics HTTP/1.1\r\n\r\n")
    client.connection.respond(200, b"abc", "text/plain")
    assert b"content-length: 3" in client.wire.sent
    assert client.wire.sent.endswith(b"\r\n\r\n")


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    client = Client()
    client.send(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert bytes(client.wire.sent) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"ok")
    assert client.requests[0].body == b"ok"


def test_who_owns_the_request_hears_that_the_client_is_gone() -> None:
    client = Client()
    client.send(LENGTH)
    lost: list[str] = []
    client.connection.on_lost = lambda: lost.append("gone")
    client.connection.connection_lost(None)
    client.connection.respond(200, b"too late", "text/plain")
    assert lost == ["gone"]
    assert bytes(client.wire.sent) == b""
