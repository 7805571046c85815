"""The control frames of a connection: SETTINGS, PING, PRIORITY, RST_STREAM, WINDOW_UPDATE.

Each is free to send and costs us something to read, so those that achieve nothing are paid from a
token bucket, and so are resets. ``Connection`` builds on it; nothing else does.
"""

from __future__ import annotations

from gateway.extproc.wire import frames as f
from gateway.extproc.wire.bucket import Bucket
from gateway.extproc.wire.events import Gone, WireEvent
from gateway.extproc.wire.frames import Code, ConnectionFailed, StreamFailed
from gateway.extproc.wire.limits import WireLimits
from gateway.extproc.wire.outbound import Outbound


class ControlFrames(Outbound):
    """What a peer says of the connection itself, and what saying it costs."""

    def __init__(self, limits: WireLimits, now: float) -> None:
        super().__init__(limits)
        self._now = now
        self._highest = 0
        """The latest stream that the peer has opened."""
        self._settled = False
        """The peer's first SETTINGS have come."""
        self._control = Bucket(limits.control_burst, limits.control_per_second, now)
        self._resets = Bucket(limits.reset_burst, limits.reset_per_second, now)

    def _spend_control(self) -> None:
        if not self._control.take(self._now):
            raise ConnectionFailed(Code.ENHANCE_YOUR_CALM, "too many control frames")

    def _spend_update(self) -> None:
        """A WINDOW_UPDATE that frees nothing: two are due for each DATA frame that was sent."""
        if self._updates_due:
            self._updates_due -= 1
        else:
            self._spend_control()

    def _settings(self, flags: int, stream_id: int, buffer: bytes, start: int, end: int) -> None:
        if stream_id:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & f.ACK:
            if start != end:
                raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "SETTINGS ack with a payload")
            if not self._settled:
                raise ConnectionFailed(Code.PROTOCOL_ERROR, "SETTINGS must come first")
            return
        if (end - start) % f.SETTING.size:
            raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "SETTINGS length")
        if self._settled:
            self._spend_control()
        self._settled = True
        for at in range(start, end, f.SETTING.size):
            self._setting(*f.SETTING.unpack_from(buffer, at))
        self._out.append(f.SETTINGS_ACK)
        self._pump_all()

    def _setting(self, name: int, value: int) -> None:
        if name == f.INITIAL_WINDOW_SIZE:
            if value > f.LARGEST_WINDOW:
                raise ConnectionFailed(Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large")
            for stream in self._streams.values():
                stream.send_window += value - self._peer_window
                if stream.send_window > f.LARGEST_WINDOW:
                    raise ConnectionFailed(Code.FLOW_CONTROL_ERROR, "stream window overflow")
            self._peer_window = value
        elif name == f.MAX_FRAME_SIZE:
            if not f.DEFAULT_FRAME_SIZE <= value <= f.LARGEST_FRAME_SIZE:
                raise ConnectionFailed(Code.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
            self._peer_frame = min(value, self._limits.max_frame_bytes)
        elif name == f.ENABLE_PUSH:
            if value > 1:
                raise ConnectionFailed(Code.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
        elif name == f.HEADER_TABLE_SIZE:
            # We never use the table; a peer that shrinks it expects to be told so (RFC 7541 4.2).
            self._announce_empty_table = True

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "PING is 8 bytes")
        if not flags & f.ACK:
            self._spend_control()
            self._out.append(f.ping(payload, ack=True))

    def _priority(self, stream_id: int, buffer: bytes, start: int, end: int) -> None:
        if not stream_id:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if end - start != 5:
            raise StreamFailed(stream_id, Code.FRAME_SIZE_ERROR, "PRIORITY is 5 bytes")
        self._spend_control()
        if f.U32.unpack_from(buffer, start)[0] & f.STREAM_MASK == stream_id:
            raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "stream depends on itself")

    def _rst_stream(self, stream_id: int, length: int, events: list[WireEvent]) -> None:
        if length != 4:
            raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "RST_STREAM is 4 bytes")
        if not stream_id or not stream_id & 1 or stream_id > self._highest:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        stream = self._streams.get(stream_id)
        if stream is None:
            # Envoy resets every stream that we end before it has: one answer to one of ours.
            if not self._was_ended_by_us(stream_id):
                self._spend_control()
            return
        if not self._resets.take(self._now):
            raise ConnectionFailed(Code.ENHANCE_YOUR_CALM, "too many resets")
        self._forget(stream)
        events.append(Gone(stream_id, "reset by peer"))

    def _window_update(self, stream_id: int, buffer: bytes, start: int, end: int) -> None:
        if end - start != 4:
            raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE is 4 bytes")
        increment = f.U32.unpack_from(buffer, start)[0] & f.STREAM_MASK
        if not stream_id:
            if not increment:
                raise ConnectionFailed(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._send_window += increment
            if self._send_window > f.LARGEST_WINDOW:
                raise ConnectionFailed(Code.FLOW_CONTROL_ERROR, "connection window overflow")
            if self._outbox_bytes:
                self._pump_all()
            else:
                self._spend_update()
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            if stream_id > self._highest or not stream_id & 1:
                raise ConnectionFailed(Code.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
            self._spend_update()
            return
        if not increment:
            raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        stream.send_window += increment
        if stream.send_window > f.LARGEST_WINDOW:
            raise StreamFailed(stream_id, Code.FLOW_CONTROL_ERROR, "stream window overflow")
        if stream.outbox:
            self._pump(stream)
        else:
            self._spend_update()
