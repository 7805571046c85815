"""An independent HTTP/2 client (the h2 library) talking to our connection in memory."""

from __future__ import annotations

import struct

import h2.config
import h2.connection
import h2.events

from gateway.extproc.wire.connection import Connection
from gateway.extproc.wire.events import WireEvent
from gateway.extproc.wire.limits import WireLimits

REQUEST = [
    (":method", "POST"),
    (":scheme", "https"),
    (":path", "/envoy.service.ext_proc.v3.ExternalProcessor/Process"),
    (":authority", "picker"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


def framed(message: bytes) -> bytes:
    """A gRPC message as it stands in DATA."""
    return struct.pack(">BI", 0, len(message)) + message


class Peer:
    """Both ends of one connection; ``exchange`` moves bytes until neither has more to say."""

    def __init__(self, limits: WireLimits | None = None, now: float = 0.0) -> None:
        self.now = now
        self.server = Connection(limits or WireLimits(), now)
        self.client = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self.client.initiate_connection()
        self.seen: list[h2.events.Event] = []

    def exchange(self) -> list[WireEvent]:
        """What the server's host is told of what the client has sent; answers go back."""
        told: list[WireEvent] = []
        while True:
            sent = self.client.data_to_send()
            if sent:
                told += self.server.receive(sent, self.now)
            answered = self.server.take()
            if answered:
                self.seen += self.client.receive_data(answered)
            if not sent and not answered:
                return told

    def open(self, *, end_stream: bool = False) -> int:
        stream_id: int = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, REQUEST, end_stream=end_stream)
        return stream_id

    def data(self, stream_id: int) -> bytes:
        """All DATA the client has received on a stream."""
        return b"".join(
            event.data or b""
            for event in self.seen
            if isinstance(event, h2.events.DataReceived) and event.stream_id == stream_id
        )


def frames(wire: bytes) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, stream id, payload) of each frame in ``wire``."""
    found = []
    at = 0
    while at < len(wire):
        word, flags, stream_id = struct.unpack_from(">IBI", wire, at)
        length = word >> 8
        found.append((word & 0xFF, flags, stream_id, wire[at + 9 : at + 9 + length]))
        at += 9 + length
    return found
