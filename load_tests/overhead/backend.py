"""A process of backends that answer at once and read nothing but where a request ends.

``python -m load_tests.overhead.backend FIRST_PORT COUNT [--gap-ms G]``. A request names in
``x-answer-chunks`` how many events it wants streamed, one every ``G`` ms; 0 gets 200 bytes of
JSON. ``GET /metrics`` is a page as model servers have it, so that pickers scrape what they would.
"""

from __future__ import annotations

import argparse
import asyncio
from functools import lru_cache
from typing import cast

import uvloop

from load_tests.idle_page import page
from load_tests.overhead.http_end import MessageEnd
from load_tests.overhead.workloads import ANSWER_HEADER, MODEL

HOST = "127.0.0.1"
GAP_SECONDS = 0.005
"""Between events: 200 tokens per second and stream, so that nothing merges them on the way."""
EVENT = (
    f'{{"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,'
    f'"model":"{MODEL}","choices":[{{"index":0,"delta":{{"content":" token"}},'
    '"finish_reason":null}]}'
)
JSON = (
    f'{{"id":"chatcmpl-0","object":"chat.completion","model":"{MODEL}","choices":[{{"index":0,'
    '"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":40,"completion_tokens":1}}'
)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Backend(asyncio.Protocol):
    """One connection."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._end = MessageEnd()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport says without being one.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if not self._end.feed(data) or self._transport is None:
            return
        head = self._end.head
        if head.startswith(b"GET /metrics "):
            self._transport.write(_metrics())
            return
        wanted = _wanted(head)
        if not wanted:
            self._transport.write(PLAIN)
            return
        self._transport.write(STREAM_HEAD)
        self._loop.call_later(self._gap, self._stream, _events(wanted), 0)

    def _stream(self, events: tuple[bytes, ...], at: int) -> None:
        if self._transport is None:
            return
        self._transport.write(events[at])
        if at + 1 < len(events):
            self._loop.call_later(self._gap, self._stream, events, at + 1)


def _answer(body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


PLAIN = _answer(JSON.encode(), "application/json")


@lru_cache(maxsize=1)
def _metrics() -> bytes:
    return _answer(page(), "text/plain; version=0.0.4")


def _wanted(head: bytes) -> int:
    """How many events a request asks for."""
    name = f"\r\n{ANSWER_HEADER}: ".encode()
    at = head.find(name)
    return int(head[at + len(name) :].partition(b"\r")[0]) if at >= 0 else 0


@lru_cache(maxsize=8)
def _events(count: int) -> tuple[bytes, ...]:
    """``count`` HTTP chunks of one event each; the last one ends the body."""
    usage = f'{{"choices":[],"usage":{{"prompt_tokens":40,"completion_tokens":{count - 1}}}}}'
    events = [f"data: {EVENT}\n\n".encode()] * (count - 1)
    events.append(f"data: {usage}\n\ndata: [DONE]\n\n".encode())
    pieces = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    pieces[-1] += b"0\r\n\r\n"
    return tuple(pieces)


async def serve(first_port: int, count: int, gap: float) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    for port in range(first_port, first_port + count):
        await loop.create_server(lambda: Backend(gap), HOST, port, backlog=1024)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first_port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--gap-ms", type=float, default=GAP_SECONDS * 1000)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.first_port, arguments.count, arguments.gap_ms / 1000))


if __name__ == "__main__":
    main()
