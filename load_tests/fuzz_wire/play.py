"""One input, played to a ``Connection`` as a host would; what must always hold is checked. Pure.

The limits are small, so that short inputs reach every bound.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

from gateway.extproc.wire import frames as f
from gateway.extproc.wire.connection import Connection
from gateway.extproc.wire.events import Gone, HalfClosed, Opened, Received, TooLarge, WireEvent
from gateway.extproc.wire.limits import WireLimits

LIMITS = WireLimits(
    max_streams=20,
    stream_window_bytes=5_000,
    connection_window_bytes=70_000,
    max_header_block_bytes=1_024,
    max_header_list_bytes=2_048,
    max_message_bytes=3_000,
    max_pending_bytes=6_000,
    max_unsent_bytes=4_000,
    control_burst=60,
    reset_burst=30,
)

Signature = frozenset[str]
"""What an input made the connection do."""


class Finding(AssertionError):
    """Something that must never happen has happened."""


@dataclass(slots=True)
class Host:
    """Answers a connection as the server does, and remembers what it was told."""

    connection: Connection
    open: set[int] = field(default_factory=set)
    half_closed: set[int] = field(default_factory=set)
    did: set[str] = field(default_factory=set)

    def act(self, events: Sequence[WireEvent]) -> None:
        """Carry out what is told; Finding where the order of events makes no sense."""
        for event in events:
            known = event.stream_id in self.open
            self.did.add(type(event).__name__)
            if isinstance(event, Opened):
                expect(not known, "a stream was opened twice")
                self.open.add(event.stream_id)
            elif isinstance(event, Gone):
                self.did.add(f"gone: {event.reason}")
                self.open.discard(event.stream_id)
                self.half_closed.discard(event.stream_id)
            elif known:
                expect(event.stream_id not in self.half_closed, "news after the end of a stream")
                self._answer(event)

    def _answer(self, event: Received | TooLarge | HalfClosed) -> None:
        stream_id, connection = event.stream_id, self.connection
        if isinstance(event, Received):
            expect(len(event.payload) <= LIMITS.max_message_bytes, "a message over the limit")
            connection.send(stream_id, [event.payload, b"more"])
            if event.payload.startswith(b"end"):
                connection.finish(stream_id)
                self.open.discard(stream_id)
        elif isinstance(event, TooLarge):
            connection.finish(stream_id, 8, "too large")
            self.open.discard(stream_id)
        else:
            self.half_closed.add(stream_id)
            connection.finish(stream_id)
            self.open.discard(stream_id)
            self.half_closed.discard(stream_id)


def expect(holds: bool, otherwise: str) -> None:
    """Raises Finding unless ``holds``."""
    if not holds:
        raise Finding(otherwise)


def play(data: bytes) -> Signature:
    """Give ``data`` to a connection in pieces, with time and a socket that stalls now and then.

    The same bytes are always played the same way. Raises Finding, or what the connection raises.
    """
    chance = random.Random(crc32(data))
    now = 0.0
    host = Host(Connection(LIMITS, now))
    connection = host.connection
    at = 0
    sent = _take(host)
    while at < len(data) and not connection.closing:
        size = chance.choice((1, 9, 40, 400, 20_000))
        now += chance.choice((0.0, 0.001, 0.1))
        host.act(connection.receive(data[at : at + size], now))
        at += size
        _check_bounds(connection)
        if chance.random() < 0.05:
            connection.writable = False
        elif not connection.writable and chance.random() < 0.5:
            connection.resume()
        if chance.random() < 0.02:
            now += chance.choice((1.0, 30.0, 100.0))
            host.act(connection.tick(now))
        if chance.random() < 0.005:
            connection.drain(final=chance.random() < 0.5)
        if not connection.unsent_bytes:
            expect(len(connection) == len(host.open), "a stream is open on one side only")
        sent += _take(host)
    failure = connection.failure
    if failure is not None:
        host.did.add(f"{failure.code.name}: {failure.why}")
    host.act(connection.lost())
    sent += _take(host)
    expect(len(connection) == 0 and connection.unsent_bytes == 0, "something is left of a stream")
    expect(connection.held_bytes == 0, "bytes of messages are left")
    expect(not host.open, "a stream ended without a word")
    expect(sent <= 200_000 + 40 * len(data), "far more was sent than was asked for")
    return frozenset(host.did)


def _take(host: Host) -> int:
    """Take what is to be written, and read it as frames: its size."""
    out = host.connection.take()
    at = 0
    while at < len(out):
        expect(len(out) - at >= f.HEAD_BYTES, "half a frame head was sent")
        word, flags, _ = f.HEAD.unpack_from(out, at)
        at += f.HEAD_BYTES + (word >> 8)
        host.did.add(f"sent frame {word & 0xFF} flags {flags}")
    expect(at == len(out), "half a frame was sent")
    return len(out)


def _check_bounds(connection: Connection) -> None:
    expect(len(connection) <= LIMITS.max_streams, "too many streams")
    expect(0 <= connection.held_bytes <= LIMITS.max_pending_bytes, "holds too much")
    expect(connection.unread_bytes <= LIMITS.max_frame_bytes + f.HEAD_BYTES, "keeps too much")
    expect(connection.unsent_bytes >= 0, "less than nothing is unsent")
