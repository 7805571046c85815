"""The connection does what HTTP/2 and gRPC say, against an independent client."""

from __future__ import annotations

import h2.events
import h2.settings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extproc.wire.events import Gone, HalfClosed, Opened, Received, TooLarge
from gateway.extproc.wire.limits import WireLimits
from tests.gateway.extproc.wire.peer import REQUEST, Peer, framed, frames


def test_a_message_is_received_and_answered_in_order() -> None:
    peer = Peer()
    stream = peer.open()
    peer.client.send_data(stream, framed(b"hello") + framed(b"again"))
    opened, *rest = peer.exchange()
    assert isinstance(opened, Opened)
    assert opened.head.path == b"/envoy.service.ext_proc.v3.ExternalProcessor/Process"
    assert rest == [Received(stream, b"hello"), Received(stream, b"again")]
    peer.server.send(stream, [b"one", b"two"])
    peer.exchange()
    assert peer.data(stream) == framed(b"one") + framed(b"two")


def test_finish_sends_the_status_after_all_that_is_queued() -> None:
    peer = Peer()
    stream = peer.open(end_stream=True)
    peer.exchange()
    peer.server.send(stream, [b"last"])
    peer.server.finish(stream)
    peer.exchange()
    trailers = [e for e in peer.seen if isinstance(e, h2.events.TrailersReceived)]
    assert peer.data(stream) == framed(b"last")
    assert [dict(e.headers or ()) for e in trailers] == [{b"grpc-status": b"0"}]
    assert len(peer.server) == 0


def test_a_refused_method_gets_its_status_in_one_header_block() -> None:
    peer = Peer()
    stream = peer.open(end_stream=True)
    peer.exchange()
    peer.server.finish(stream, 12, "unknown method: /x y%")
    peer.exchange()
    (response,) = [e for e in peer.seen if isinstance(e, h2.events.ResponseReceived)]
    assert dict(response.headers or ())[b"grpc-message"] == b"unknown method: /x y%25"


def test_an_answer_before_the_request_has_ended_stops_the_client_politely() -> None:
    peer = Peer()
    stream = peer.open()
    peer.client.send_data(stream, framed(b"x"))
    peer.exchange()
    peer.server.finish(stream)
    peer.client.send_data(stream, framed(b"crossed on the wire"))
    told = peer.exchange()
    assert told == []
    assert not peer.server.closing
    (reset,) = [e for e in peer.seen if isinstance(e, h2.events.StreamReset)]
    assert reset.error_code == 0


def test_the_clients_reset_is_told_once() -> None:
    peer = Peer()
    stream = peer.open()
    peer.exchange()
    peer.client.reset_stream(stream)
    assert peer.exchange() == [Gone(stream, "reset by peer")]
    peer.server.send(stream, [b"too late"])
    peer.server.finish(stream)
    assert peer.server.take() == b""


@given(
    messages=st.lists(st.binary(max_size=40_000), max_size=8),
    cuts=st.lists(st.integers(1, 5_000), min_size=1, max_size=20),
)
def test_messages_survive_any_cut_into_frames(messages: list[bytes], cuts: list[int]) -> None:
    peer = Peer()
    stream = peer.open()
    told = peer.exchange()[1:]
    wire = b"".join(framed(message) for message in messages)
    at = turn = 0
    while at < len(wire):
        size = min(cuts[turn % len(cuts)], peer.client.local_flow_control_window(stream))
        peer.client.send_data(stream, wire[at : at + size])
        told += peer.exchange()
        at += size
        turn += 1
    peer.client.end_stream(stream)
    told += peer.exchange()
    assert told == [*(Received(stream, message) for message in messages), HalfClosed(stream)]


@given(
    window=st.integers(1, 70_000),
    frame=st.integers(16_384, 100_000),
    messages=st.lists(st.binary(max_size=90_000), min_size=1, max_size=5),
)
def test_answers_arrive_whole_through_any_window(
    window: int, frame: int, messages: list[bytes]
) -> None:
    peer = Peer()
    peer.client.update_settings(
        {
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
            h2.settings.SettingCodes.MAX_FRAME_SIZE: frame,
        }
    )
    stream = peer.open(end_stream=True)
    peer.exchange()
    peer.server.send(stream, messages)
    peer.server.finish(stream)
    for _ in range(1_000_000):
        before = len(peer.seen)
        peer.exchange()
        for event in peer.seen[before:]:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                peer.client.acknowledge_received_data(event.flow_controlled_length, stream)
        if any(isinstance(e, h2.events.StreamEnded) for e in peer.seen):
            break
        if len(peer.seen) == before:
            peer.client.increment_flow_control_window(window, stream)
    assert peer.data(stream) == b"".join(framed(message) for message in messages)


def test_receive_windows_are_given_back_so_that_a_large_body_flows() -> None:
    peer = Peer(WireLimits(stream_window_bytes=100_000, connection_window_bytes=150_000))
    stream = peer.open()
    peer.exchange()
    body = framed(b"b" * 2_000_000)
    at = 0
    told = []
    while at < len(body):
        size = min(peer.client.local_flow_control_window(stream), 16_384, len(body) - at)
        assert size > 0, "the window was not given back"
        peer.client.send_data(stream, body[at : at + size])
        told += peer.exchange()
        at += size
    assert told == [Received(stream, b"b" * 2_000_000)]


def test_a_message_over_the_limit_is_told_and_not_kept() -> None:
    peer = Peer(WireLimits(max_message_bytes=1000))
    stream = peer.open()
    peer.exchange()
    peer.client.send_data(stream, framed(b"b" * 1001)[:500])
    assert peer.exchange() == [TooLarge(stream)]
    peer.client.send_data(stream, b"b" * 500)
    assert peer.exchange() == []
    peer.server.send(stream, [b"413"])
    peer.server.finish(stream)
    peer.exchange()
    assert peer.data(stream) == framed(b"413")


def test_a_deadline_ends_the_stream() -> None:
    peer = Peer()
    stream: int = peer.client.get_next_available_stream_id()
    peer.client.send_headers(stream, [*REQUEST, ("grpc-timeout", "5S")])
    peer.exchange()
    assert peer.server.tick(4.9) == []
    assert peer.server.tick(5.1) == [Gone(stream, "deadline exceeded")]


def test_a_silent_peer_is_pinged_and_then_dropped() -> None:
    peer = Peer()
    peer.exchange()
    assert peer.server.tick(61.0) == []
    pinged = peer.server.take()
    assert pinged[3] == 6
    assert peer.server.tick(70.0) == []
    assert not peer.server.closing
    peer.server.tick(82.0)
    assert peer.server.closing


def test_a_ping_answered_keeps_the_connection() -> None:
    peer = Peer()
    peer.exchange()
    peer.server.tick(61.0)
    peer.now = 62.0
    peer.exchange()
    peer.server.tick(90.0)
    assert not peer.server.closing


def test_a_connection_that_never_speaks_is_closed() -> None:
    peer = Peer()
    peer.server.tick(9.0)
    assert not peer.server.closing
    peer.server.tick(11.0)
    assert peer.server.closing


def test_draining_lets_old_streams_end_and_refuses_new_ones() -> None:
    """Raw frames: the h2 library gives up on any GOAWAY, which RFC 9113 does not ask for."""
    peer = Peer()
    old = peer.open()
    peer.exchange()
    peer.server.drain(final=False)
    peer.server.drain(final=True)
    late = peer.open(end_stream=True)
    assert peer.server.receive(peer.client.data_to_send(), 0.0) == []
    peer.server.send(old, [b"done"])
    peer.server.finish(old)
    kinds = [(kind, stream) for kind, _, stream, _ in frames(peer.server.take())]
    assert kinds == [(7, 0), (7, 0), (3, late), (1, old), (0, old), (1, old), (3, old)]


@pytest.mark.parametrize("size", [0, 1, 4096, 65_536])
def test_a_peers_smaller_header_table_is_acknowledged_in_the_next_block(size: int) -> None:
    peer = Peer()
    peer.client.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
    stream = peer.open(end_stream=True)
    peer.exchange()
    peer.server.finish(stream)
    peer.exchange()
    (response,) = [e for e in peer.seen if isinstance(e, h2.events.ResponseReceived)]
    assert dict(response.headers or ())[b"grpc-status"] == b"0"
