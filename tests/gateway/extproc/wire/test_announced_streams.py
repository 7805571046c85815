"""A proxy is asked to open fewer streams on a connection than it would be refused."""

from __future__ import annotations

import hpack

from gateway.extproc.wire import frames as f
from gateway.extproc.wire.connection import Connection
from gateway.extproc.wire.limits import WireLimits
from tests.gateway.extproc.wire.peer import REQUEST, frames


def test_what_comes_beyond_the_announced_is_served() -> None:
    connection = Connection(WireLimits(max_streams=5, announced_streams=2), now=0.0)
    connection.receive(f.PREFACE + f.settings_frame(()), 0.0)
    kind, _, _, settings = frames(connection.take())[0]
    assert kind == f.SETTINGS
    assert b"\x00\x03\x00\x00\x00\x02" in settings  # MAX_CONCURRENT_STREAMS = 2
    encoder = hpack.Encoder()
    for number in range(5):
        block = encoder.encode(REQUEST, huffman=False)
        connection.receive(f.frame(f.HEADERS, f.END_HEADERS, 2 * number + 1, block), 0.0)
    assert len(connection) == 5
