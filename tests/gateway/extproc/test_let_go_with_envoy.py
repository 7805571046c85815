"""A real Envoy and streams that we end early: every byte arrives, and nobody's upload hangs.

The upstream writes HTTP by hand, so that headers and body can come in one packet, which is when
bytes are lost if a FULL_DUPLEX_STREAMED response is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import Refusal, Shed
from gateway.extproc.messages import BodyMode
from gateway.request.model import Ending, Headers
from gateway.request.warm_up import warm_up
from tests.gateway.extproc.test_with_envoy import (
    BUFFERED,
    DUPLEX,
    JSON,
    NONE,
    PARTIAL,
    STREAMED,
    Setting,
    chat,
    given_back,
    setting,
)

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(60)]

EVENTS = [b'data: {"n": %d, "filler": "%s"}\n\n' % (i, b"y" * 60) for i in range(64)]
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
)
TRAILER_HEAD = STREAM_HEAD + b"trailer: x-took\r\n"
BODIES = {
    "/all-at-once": b"".join(EVENTS),
    "/piece-by-piece": b"".join(EVENTS),
    "/with-trailers": b"".join(EVENTS),
    "/json": b"z" * 200,
    "/large": b"z" * 2_000_000,
    "/nothing": b"",
}
AT_ONCE = 10
"""Requests at a time, for each body: enough that packets come in every constellation."""


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Kernels load at start-up, before there is a loop to block."""
    warm_up()


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection of the upstream: reads a request, answers by its path."""
    try:
        while True:
            path = await read_request(reader)
            body = BODIES[path]
            if path == "/all-at-once":
                chunks = b"".join(map(chunk, EVENTS))
                writer.write(STREAM_HEAD + b"\r\n" + chunks + b"0\r\n\r\n")
            elif path == "/with-trailers":
                chunks = b"".join(map(chunk, EVENTS))
                writer.write(TRAILER_HEAD + b"\r\n" + chunks + b"0\r\nx-took: 1\r\n\r\n")
            elif path == "/piece-by-piece":
                writer.write(STREAM_HEAD + b"\r\n" + chunk(EVENTS[0]))
                for event in EVENTS[1:]:
                    await writer.drain()
                    await asyncio.sleep(0)
                    writer.write(chunk(event))
                writer.write(b"0\r\n\r\n")
            else:
                length = b"content-length: %d\r\n\r\n" % len(body)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + length)
                writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    path = head.split()[1].decode()
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
            return path
    size = 1
    while size:
        size = int(await reader.readline(), 16)
        await reader.readexactly(size + 2)
    return path


@asynccontextmanager
async def letting_go(
    tmp_path: Path, request: BodyMode, response: BodyMode
) -> AsyncIterator[Setting]:
    async with setting(tmp_path, request, response, trailers=True, http1_trailers=True) as s:
        upstream = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = upstream.sockets[0].getsockname()
        s.director.destination = f"{host}:{port}"
        s.director.rewrite_to, s.director.follow = None, False
        try:
            yield s
        finally:
            upstream.close()


async def over_http1(url: str, path: str) -> tuple[bytes, bytes]:
    """Body and trailers of one answer to a client that takes trailers."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = (f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(chat())}", "", "")
    writer.write("\r\n".join(lines).encode() + chat())
    await reader.readuntil(b"\r\n\r\n")
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    trailers = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return body, trailers.strip()


@pytest.mark.parametrize(
    ("request_body", "response_body", "let_go"),
    [
        pytest.param(DUPLEX, STREAMED, True, id="full duplex up, streamed down"),
        pytest.param(DUPLEX, NONE, True, id="full duplex up, nothing down"),
        pytest.param(STREAMED, STREAMED, True, id="streamed"),
        pytest.param(BUFFERED, BUFFERED, True, id="buffered"),
        pytest.param(PARTIAL, PARTIAL, True, id="partly buffered"),
        pytest.param(DUPLEX, DUPLEX, False, id="full duplex"),
    ],
)
async def test_every_byte_arrives(
    tmp_path: Path, request_body: BodyMode, response_body: BodyMode, let_go: bool
) -> None:
    async with letting_go(tmp_path, request_body, response_body) as s:

        async def post(path: str) -> bytes:
            async with s.session.post(s.url + path, data=chat(), headers=JSON) as got:
                assert got.status == 200
                assert got.headers["x-session-token"] == "t"
                return await got.read()

        for path, body in BODIES.items():
            async with asyncio.TaskGroup() as tasks:
                posts = [tasks.create_task(post(path)) for _ in range(AT_ONCE)]
            assert [post.result() == body for post in posts] == [True] * AT_ONCE, path
        assert await over_http1(s.url, "/with-trailers") == (BODIES["/with-trailers"], b"x-took: 1")
        await given_back(s.director)
        endings = {outcome.ending for outcome in s.director.outcomes if outcome.streamed}
        assert endings == {Ending.LET_GO if let_go else Ending.COMPLETE}


# --- refused on its headers ---------------------------------------------------------------------

UPLOAD = 10 * 1024 * 1024


@pytest.mark.parametrize("mode", [DUPLEX, BUFFERED], ids=lambda mode: mode.name)
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_a_large_upload_is_refused_before_it_is_read(
    tmp_path: Path, mode: BodyMode, declared: bool
) -> None:
    """The client is still writing: it gets its 429 at once, and nothing waits for the rest."""
    sent = 0

    async def upload() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < UPLOAD:
            sent += 65536
            yield b"x" * 65536
            await asyncio.sleep(0.01)

    async with setting(tmp_path, mode, mode, max_body_bytes=2 * UPLOAD) as s:
        s.director.early = sheds_batch
        headers = JSON | {"x-llm-d-inference-objective": "batch"}
        if declared:
            headers["content-length"] = str(UPLOAD)
        async with asyncio.timeout(10):
            async with s.session.post(
                f"{s.url}/v1/chat/completions", data=upload(), headers=headers
            ) as got:
                assert got.status == 429
                assert (await got.json())["error"]["code"] == "shed"
        assert sent < UPLOAD
        assert s.director.asked == []
        # Envoy and its other clients are none the worse.
        async with s.session.post(f"{s.url}/v1/chat/completions", data=chat(), headers=JSON) as got:
            assert got.status == 200


def sheds_batch(headers: Headers) -> Refusal | None:
    return Shed("no room") if headers.get("x-llm-d-inference-objective") == "batch" else None
