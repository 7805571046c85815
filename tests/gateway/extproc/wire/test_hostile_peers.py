"""A hostile peer costs bounded memory and CPU, gets the right GOAWAY, and raises nothing."""

from __future__ import annotations

import struct

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.extproc.wire import frames as f
from gateway.extproc.wire.connection import Connection
from gateway.extproc.wire.events import Gone, Opened
from gateway.extproc.wire.frames import Code
from gateway.extproc.wire.limits import WireLimits
from tests.gateway.extproc.wire.peer import REQUEST, framed, frames

LIMITS = WireLimits(
    control_burst=50, control_per_second=1, reset_burst=50, reset_per_second=1, max_streams=10
)
HELLO = f.PREFACE + f.settings_frame(())


def connected(limits: WireLimits = LIMITS) -> Connection:
    connection = Connection(limits, now=0.0)
    connection.receive(HELLO, 0.0)
    connection.take()
    return connection


def block(extra: tuple[tuple[str, str], ...] = ()) -> bytes:
    return hpack.Encoder().encode([*REQUEST, *extra], huffman=False)


def opening(stream_id: int, flags: int = f.END_HEADERS) -> bytes:
    return f.frame(f.HEADERS, flags, stream_id, block())


def goaway_code(connection: Connection) -> Code | None:
    for kind, _, _, payload in frames(connection.take()):
        if kind == f.GOAWAY:
            return Code(struct.unpack_from(">I", payload, 4)[0])
    return None


def flood(connection: Connection, *pieces: bytes, times: int = 10_000) -> int:
    """Send until the connection closes; how many rounds it took."""
    for turn in range(times):
        for piece in pieces:
            connection.receive(piece, 0.0)
        if connection.closing:
            return turn
    raise AssertionError("the flood was never stopped")


def test_rapid_reset_is_stopped() -> None:
    connection = connected()
    for turn in range(1000):
        stream = 2 * turn + 1
        connection.receive(opening(stream) + f.rst_stream(stream, Code.CANCEL), 0.0)
        if connection.closing:
            break
    assert turn == LIMITS.reset_burst
    assert goaway_code(connection) == Code.ENHANCE_YOUR_CALM


def test_resets_at_the_pace_of_clients_hanging_up_are_served_for_ever() -> None:
    connection = connected()
    for turn in range(1000):
        stream = 2 * turn + 1
        connection.receive(opening(stream) + f.rst_stream(stream, Code.CANCEL), float(turn))
    assert not connection.closing
    assert len(connection) == 0


def test_resetting_streams_that_we_ended_is_no_flood() -> None:
    """Envoy sends one RST_STREAM for each stream whose end it hears before it has ended it."""
    connection = connected()
    for turn in range(1000):
        stream = 2 * turn + 1
        connection.receive(opening(stream), 0.0)
        connection.finish(stream)
        connection.receive(f.rst_stream(stream, Code.CANCEL), 0.0)
    assert not connection.closing


def test_resetting_one_ended_stream_again_and_again_is_a_flood() -> None:
    connection = connected()
    connection.receive(opening(1), 0.0)
    connection.finish(1)
    assert flood(connection, f.rst_stream(1, Code.CANCEL)) <= LIMITS.control_burst + 1
    assert goaway_code(connection) == Code.ENHANCE_YOUR_CALM


def test_window_updates_for_what_was_sent_are_no_flood() -> None:
    """A reader with small windows gives credit for each frame, of the stream and of all."""
    connection = connected()
    connection.receive(opening(1), 0.0)
    for _ in range(1000):
        connection.send(1, [b"x" * 100])
        connection.receive(f.window_update(0, 105) + f.window_update(1, 105), 0.0)
    assert not connection.closing


def test_empty_data_for_a_stream_that_we_ended_is_a_flood() -> None:
    connection = connected()
    connection.receive(opening(1), 0.0)
    connection.finish(1)
    assert flood(connection, f.frame(f.DATA, 0, 1)) <= LIMITS.control_burst


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(f.ping(b"12345678"), id="PING"),
        pytest.param(f.settings_frame(((f.ENABLE_PUSH, 0),)), id="SETTINGS"),
        pytest.param(f.frame(f.PRIORITY, 0, 3, b"\0\0\0\0\x10"), id="PRIORITY"),
        pytest.param(f.frame(0xFA, 0, 0, b"?"), id="unknown frame type"),
        pytest.param(f.window_update(0, 1), id="useless WINDOW_UPDATE"),
        pytest.param(f.frame(f.DATA, 0, 1), id="empty DATA"),
        pytest.param(f.window_update(1, 1), id="useless stream WINDOW_UPDATE"),
    ],
)
def test_a_flood_of_free_frames_is_stopped(piece: bytes) -> None:
    connection = connected()
    connection.receive(opening(1), 0.0)
    assert flood(connection, piece) <= LIMITS.control_burst
    assert goaway_code(connection) == Code.ENHANCE_YOUR_CALM


def test_a_continuation_flood_is_stopped_by_count() -> None:
    connection = connected()
    connection.receive(f.frame(f.HEADERS, 0, 1, block()), 0.0)
    assert flood(connection, f.frame(f.CONTINUATION, 0, 1)) < LIMITS.max_continuations
    assert goaway_code(connection) == Code.ENHANCE_YOUR_CALM


def test_a_continuation_flood_is_stopped_by_size() -> None:
    connection = connected()
    connection.receive(f.frame(f.HEADERS, 0, 1, block()), 0.0)
    assert flood(connection, f.frame(f.CONTINUATION, 0, 1, b"\0" * 16_000)) <= 2
    assert goaway_code(connection) == Code.ENHANCE_YOUR_CALM


def test_an_hpack_bomb_is_not_unpacked() -> None:
    """A few bytes that name a large table entry a thousand times."""
    connection = connected()
    encoder = hpack.Encoder()
    fuse = ("x-bomb", "b" * 3500)
    bomb = encoder.encode([*REQUEST, fuse], huffman=False)
    connection.receive(f.frame(f.HEADERS, f.END_HEADERS, 1, bomb), 0.0)
    again = encoder.encode([*REQUEST, *[fuse] * 1000], huffman=False)
    assert len(again) < 1100
    connection.receive(f.frame(f.HEADERS, f.END_HEADERS, 3, again), 0.0)
    assert goaway_code(connection) == Code.ENHANCE_YOUR_CALM


def test_one_stream_too_many_is_refused_and_the_others_live() -> None:
    connection = connected()
    for n in range(LIMITS.max_streams):
        connection.receive(opening(2 * n + 1), 0.0)
    assert connection.receive(opening(101), 0.0) == []
    assert frames(connection.take()) == [(f.RST_STREAM, 0, 101, f.U32.pack(Code.REFUSED_STREAM))]
    assert len(connection) == LIMITS.max_streams


def test_a_peer_that_never_reads_gets_no_more_credit() -> None:
    """Zero windows: its answers wait here, so its own window is not given back either."""
    limits = WireLimits(
        stream_window_bytes=50_000, connection_window_bytes=100_000, max_unsent_bytes=10_000
    )
    connection = Connection(limits, 0.0)
    connection.receive(f.PREFACE + f.settings_frame(((f.INITIAL_WINDOW_SIZE, 0),)), 0.0)
    connection.take()
    sent = 0
    for stream in range(1, 2001, 2):
        connection.receive(opening(stream), 0.0)
        while sent < 1_000_000 and not connection.closing:
            payload = framed(b"m" * 9_000)
            connection.receive(f.frame(f.DATA, 0, stream, payload), 0.0)
            connection.send(stream, [b"a" * 9_000])
            sent += len(payload)
            if sent % 5 == 0:
                break
    assert connection.closing, "the peer overran the window that we did not give back"
    assert sent <= 120_000
    assert goaway_code(connection) == Code.FLOW_CONTROL_ERROR


def test_a_peer_that_stops_reading_its_socket_is_closed_after_a_while() -> None:
    connection = connected()
    connection.writable = False
    for second in range(1, 30):
        connection.receive(f.ping(b"imalive!"), float(second))
        connection.tick(float(second))
        if connection.closing:
            break
    assert 20 <= second <= 23


def test_what_streams_hold_together_is_bounded() -> None:
    limits = WireLimits(max_pending_bytes=50_000)
    connection = Connection(limits, 0.0)
    connection.receive(HELLO, 0.0)
    told = []
    for n in range(20):
        stream = 2 * n + 1
        told += connection.receive(
            opening(stream) + f.frame(f.DATA, 0, stream, framed(b"p" * 20_000)[:10_000]), 0.0
        )
    too_large = [event for event in told if type(event).__name__ == "TooLarge"]
    assert len(too_large) == 15


def test_a_lost_connection_tells_every_stream_once() -> None:
    connection = connected()
    connection.receive(opening(1) + opening(3), 0.0)
    assert connection.lost() == [Gone(1, "connection lost"), Gone(3, "connection lost")]
    assert connection.lost() == []


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Code.PROTOCOL_ERROR, id="HTTP/1.1"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", Code.PROTOCOL_ERROR, id="TLS to plain"),
        pytest.param(f.PREFACE + opening(1), Code.PROTOCOL_ERROR, id="no SETTINGS"),
        pytest.param(
            HELLO + struct.pack(">IBI", 16_385 << 8, 0, 1), Code.FRAME_SIZE_ERROR, id="large frame"
        ),
        pytest.param(HELLO + opening(2), Code.PROTOCOL_ERROR, id="even stream id"),
        pytest.param(HELLO + opening(3) + opening(1), Code.STREAM_CLOSED, id="id going back"),
        pytest.param(
            HELLO + f.frame(f.HEADERS, 4, 1, b"\xff\xff\xff\xff"),
            Code.COMPRESSION_ERROR,
            id="bad HPACK",
        ),
    ],
)
def test_broken_rules_get_the_right_goaway(wire: bytes, code: Code) -> None:
    connection = Connection(LIMITS, 0.0)
    connection.receive(wire, 0.0)
    assert goaway_code(connection) == code
    assert connection.closing


def test_compressed_messages_reset_only_their_stream() -> None:
    connection = connected()
    told = connection.receive(
        opening(1) + opening(3) + f.frame(f.DATA, 0, 1, b"\x01\0\0\0\x01x"), 0.0
    )
    assert [type(event) for event in told] == [Opened, Opened, Gone]
    assert not connection.closing
    assert len(connection) == 1


FRAME = st.builds(
    f.frame,
    st.one_of(st.integers(0, 9), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D]), st.integers(0, 255)),
    st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)),
    st.one_of(
        st.binary(max_size=60),
        st.just(block()),
        st.builds(framed, st.binary(max_size=30)),
        st.integers(0, 2**32 - 1).map(lambda n: struct.pack(">I", n)),
    ),
)


@settings(max_examples=400)
@given(
    wire=st.lists(FRAME, max_size=25).map(b"".join),
    cuts=st.lists(st.integers(1, 90), min_size=1, max_size=6),
    answers=st.booleans(),
)
def test_no_bytes_make_it_raise_or_lose_count(wire: bytes, cuts: list[int], answers: bool) -> None:
    """Any frames, cut anywhere: every stream told as opened is told as ended, nothing is held."""
    connection = Connection(LIMITS, 0.0)
    wire = HELLO + wire
    opened: set[int] = set()
    ended: list[int] = []
    at = turn = 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        for event in connection.receive(wire[at : at + size], turn * 0.01):
            if isinstance(event, Opened):
                assert event.stream_id not in opened
                opened.add(event.stream_id)
            elif isinstance(event, Gone):
                ended.append(event.stream_id)
            elif answers:
                connection.send(event.stream_id, [b"answer"])
                connection.finish(event.stream_id)
        connection.tick(turn * 0.01)
        at += size
        turn += 1
    ended += [event.stream_id for event in connection.lost() if isinstance(event, Gone)]
    assert len(ended) == len(set(ended))
    assert set(ended) <= opened
    if not answers:
        assert set(ended) == opened
    assert connection.unsent_bytes == 0
