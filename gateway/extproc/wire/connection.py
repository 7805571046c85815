"""The server side of one HTTP/2 connection that carries gRPC: sans-IO, total, bounded.

``receive`` takes bytes and a time, and gives events; ``take`` gives the bytes to write. It raises
nothing at the host: a broken rule becomes RST_STREAM or GOAWAY (RFC 9113), after which ``closing``
says that the host should write what is left and close. Hostile peers are bounded by WireLimits.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.extproc.wire import frames as f
from gateway.extproc.wire.control import ControlFrames
from gateway.extproc.wire.events import Gone, HalfClosed, Opened, Received, TooLarge, WireEvent
from gateway.extproc.wire.frames import Code, ConnectionFailed, StreamFailed
from gateway.extproc.wire.header_blocks import HeaderBlocks
from gateway.extproc.wire.headers import check_trailers
from gateway.extproc.wire.limits import WireLimits
from gateway.extproc.wire.messages import CompressedMessage, MessageTooLarge
from gateway.extproc.wire.stream import Stream


class Connection(ControlFrames):
    """One peer. All methods are synchronous; one owner calls them."""

    def __init__(self, limits: WireLimits, now: float) -> None:
        super().__init__(limits, now)
        self._pending = b""
        self._greeted = False
        # Consumed bytes are given back in halves of a window.
        self._stream_credit_due = limits.stream_window_bytes / 2
        self._credit_due = limits.connection_window_bytes / 2
        self._receive_window = f.DEFAULT_WINDOW
        self._blocks = HeaderBlocks(limits)
        self._block_ends_stream = False
        self._held_bytes = 0
        self._opened_at = now
        self._heard_at = now
        self._pinged_at: float | None = None
        self._draining = False
        self._out.append(
            f.settings_frame(
                (
                    (f.MAX_CONCURRENT_STREAMS, limits.announced_streams),
                    (f.INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
                    (f.MAX_FRAME_SIZE, limits.max_frame_bytes),
                    (f.MAX_HEADER_LIST_SIZE, limits.max_header_list_bytes),
                )
            )
        )
        self._out.append(f.window_update(0, limits.connection_window_bytes - f.DEFAULT_WINDOW))
        self._receive_window = limits.connection_window_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of messages that are not whole yet, of all streams."""
        return self._held_bytes

    @property
    def unread_bytes(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._pending)

    # --- what the peer sends --------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[WireEvent]:
        """Take bytes from the peer; returns what the host must act on, in order."""
        events: list[WireEvent] = []
        if self.closing:
            return events
        self._now = self._heard_at = now
        self._pinged_at = None
        buffer = self._pending + data if self._pending else data
        at, end = 0, len(buffer)
        longest, blocks = self._limits.max_frame_bytes, self._blocks
        try:
            if not self._greeted:
                if end < len(f.PREFACE):
                    if not f.PREFACE.startswith(buffer):
                        raise ConnectionFailed(Code.PROTOCOL_ERROR, "bad preface")
                    self._pending = buffer
                    return events
                if not buffer.startswith(f.PREFACE):
                    raise ConnectionFailed(Code.PROTOCOL_ERROR, "bad preface")
                self._greeted = True
                at = len(f.PREFACE)
            while end - at >= f.HEAD_BYTES:
                word, flags, stream_id = f.HEAD.unpack_from(buffer, at)
                length = word >> 8
                if length > longest:
                    raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "frame too large")
                start = at + f.HEAD_BYTES
                if end - start < length:
                    break
                at = start + length
                kind = word & 0xFF
                try:
                    if kind == f.DATA and self._settled and not blocks.stream_id:  # most are
                        self._data(flags, stream_id & f.STREAM_MASK, buffer, start, at, events)
                    else:
                        self._frame(
                            kind, flags, stream_id & f.STREAM_MASK, buffer, start, at, events
                        )
                except StreamFailed as failed:
                    self._fail_stream(failed, events)
            self._pending = buffer[at:] if at else buffer
        except ConnectionFailed as failed:
            self._fail(failed, events)
        return events

    def _frame(
        self,
        kind: int,
        flags: int,
        stream_id: int,
        buffer: bytes,
        start: int,
        end: int,
        events: list[WireEvent],
    ) -> None:
        waiting = self._blocks.stream_id
        if waiting and (kind != f.CONTINUATION or stream_id != waiting):
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "header block interrupted")
        if not self._settled and kind != f.SETTINGS:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "SETTINGS must come first")
        if kind == f.DATA:
            self._data(flags, stream_id, buffer, start, end, events)
        elif kind == f.HEADERS:
            self._headers(flags, stream_id, buffer, start, end, events)
        elif kind == f.WINDOW_UPDATE:
            self._window_update(stream_id, buffer, start, end)
        elif kind == f.CONTINUATION:
            self._continuation(flags, buffer[start:end], events)
        elif kind == f.RST_STREAM:
            self._rst_stream(stream_id, end - start, events)
        elif kind == f.SETTINGS:
            self._settings(flags, stream_id, buffer, start, end)
        elif kind == f.PING:
            self._ping(flags, stream_id, buffer[start:end])
        elif kind == f.PRIORITY:
            self._priority(stream_id, buffer, start, end)
        elif kind == f.GOAWAY:
            if stream_id:
                raise ConnectionFailed(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
            if end - start < 8:
                raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "short GOAWAY")
        elif kind == f.PUSH_PROMISE:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "a client may not push")
        else:
            self._spend_control()  # unknown types are ignored (RFC 9113 section 4.1), not free

    # --- DATA -----------------------------------------------------------------------------------

    def _data(
        self,
        flags: int,
        stream_id: int,
        buffer: bytes,
        start: int,
        end: int,
        events: list[WireEvent],
    ) -> None:
        length = end - start
        self._receive_window -= length
        if self._receive_window < 0:
            raise ConnectionFailed(Code.FLOW_CONTROL_ERROR, "connection window overrun")
        stream = self._streams.get(stream_id)
        if stream is None or stream.remote_done:
            self._stray_data(stream_id, stream, length)
            return
        stream.receive_window -= length
        if stream.receive_window < 0:
            raise StreamFailed(stream_id, Code.FLOW_CONTROL_ERROR, "stream window overrun")
        if flags & f.PADDED:
            start, end = self._unpad(buffer, start, end)
        if start == end and not flags & f.END_STREAM:
            self._spend_control()
        stream.received_bytes += end - start
        if stream.grpc:
            message = stream.reader.whole(buffer, start, end)
            if message is not None:
                events.append(Received(stream_id, message))
            else:
                self._read_messages(stream, buffer[start:end], events)
        self._uncredited += length
        stream.receive_uncredited += length
        if (
            stream.receive_uncredited >= self._stream_credit_due
            or self._uncredited >= self._credit_due
        ):
            self._credit(stream)
        if flags & f.END_STREAM:
            self._remote_end(stream, events)

    def _read_messages(self, stream: Stream, data: bytes, events: list[WireEvent]) -> None:
        held = stream.reader.held_bytes
        try:
            messages = stream.reader.feed(data)
        except MessageTooLarge:
            self._stop_reading(stream, held)
            events.append(TooLarge(stream.id))
            return
        except CompressedMessage:
            self._stop_reading(stream, held)
            raise StreamFailed(stream.id, Code.PROTOCOL_ERROR, "compressed message") from None
        for message in messages:
            events.append(Received(stream.id, message))  # noqa: PERF401 -- mostly one: half the time
        self._held_bytes += stream.reader.held_bytes - held
        if self._held_bytes > self._limits.max_pending_bytes:
            self._stop_reading(stream, stream.reader.held_bytes)
            events.append(TooLarge(stream.id))

    def _stop_reading(self, stream: Stream, held: int) -> None:
        """Drop what is held of a message; further bytes of this stream are counted, not kept."""
        self._held_bytes -= held
        stream.grpc = False

    def _stray_data(self, stream_id: int, stream: Stream | None, length: int) -> None:
        self._uncredited += length
        self._credit(None)
        if stream is not None:
            raise StreamFailed(stream_id, Code.STREAM_CLOSED, "DATA after END_STREAM")
        if not stream_id or stream_id > self._highest or not stream_id & 1:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "DATA on an idle stream")
        if stream_id not in self._ended_by_us:
            raise ConnectionFailed(Code.STREAM_CLOSED, "DATA on a closed stream")
        if not length:
            self._spend_control()

    @staticmethod
    def _unpad(buffer: bytes, start: int, end: int) -> tuple[int, int]:
        if start == end:
            raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "no room for the pad length")
        padding = buffer[start]
        if padding >= end - start:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "padding longer than the frame")
        return start + 1, end - padding

    def _credit(self, stream: Stream | None) -> None:
        """Give consumed bytes back to the peer, where they are due, unless it does not read."""
        if self._outbox_bytes > self._limits.max_unsent_bytes or not self.writable:
            return
        if stream is not None and stream.receive_uncredited >= self._stream_credit_due:
            stream.receive_window += stream.receive_uncredited
            self._out.append(f.window_update(stream.id, stream.receive_uncredited))
            stream.receive_uncredited = 0
        if self._uncredited >= self._credit_due:
            self._receive_window += self._uncredited
            self._out.append(f.window_update(0, self._uncredited))
            self._uncredited = 0

    def resume(self) -> None:
        """The socket takes bytes again: send what waited, and credit what was held back."""
        self.writable = True
        self._pump_all()
        self._credit(None)
        for stream in self._streams.values():
            if not stream.remote_done:
                self._credit(stream)

    def _remote_end(self, stream: Stream, events: list[WireEvent]) -> None:
        if stream.content_length is not None and stream.content_length != stream.received_bytes:
            raise StreamFailed(stream.id, Code.PROTOCOL_ERROR, "content-length differs from body")
        self._held_bytes -= stream.held_bytes
        stream.remote_done = True
        events.append(HalfClosed(stream.id))
        if stream.local_done:
            self._forget(stream)

    # --- HEADERS --------------------------------------------------------------------------------

    def _headers(
        self,
        flags: int,
        stream_id: int,
        buffer: bytes,
        start: int,
        end: int,
        events: list[WireEvent],
    ) -> None:
        if not stream_id & 1:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "HEADERS on a server's stream id")
        if flags & f.PADDED:
            start, end = self._unpad(buffer, start, end)
        if flags & f.HAS_PRIORITY:
            if end - start < 5:
                raise ConnectionFailed(Code.FRAME_SIZE_ERROR, "no room for the priority")
            depends_on = f.U32.unpack_from(buffer, start)[0] & f.STREAM_MASK
            start += 5
            if depends_on == stream_id:
                # The block must still be decoded: the peer's table has moved with it.
                self._blocks.decode(buffer[start:end])
                self._highest = max(self._highest, stream_id)
                raise StreamFailed(stream_id, Code.PROTOCOL_ERROR, "stream depends on itself")
        self._block_ends_stream = bool(flags & f.END_STREAM)
        if flags & f.END_HEADERS:
            self._block_done(stream_id, buffer[start:end], events)
        else:
            self._blocks.begin(stream_id, buffer[start:end])

    def _continuation(self, flags: int, fragment: bytes, events: list[WireEvent]) -> None:
        stream_id = self._blocks.stream_id
        if not stream_id:
            raise ConnectionFailed(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._blocks.add(fragment)
        if flags & f.END_HEADERS:
            self._block_done(stream_id, self._blocks.whole(), events)

    def _block_done(self, stream_id: int, block: bytes, events: list[WireEvent]) -> None:
        headers = self._blocks.decode(block)
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._trailers(stream, headers, events)
            return
        if stream_id <= self._highest:
            if stream_id in self._ended_by_us:
                return
            raise ConnectionFailed(Code.STREAM_CLOSED, "HEADERS on a closed stream")
        self._highest = stream_id
        if self._draining or len(self._streams) >= self._limits.max_streams:
            raise StreamFailed(stream_id, Code.REFUSED_STREAM, "too many streams")
        head = self._blocks.head(stream_id, block, headers)
        grpc = head.content_type.startswith(b"application/grpc")
        stream = Stream(
            stream_id,
            grpc=grpc,
            receive_window=self._limits.stream_window_bytes,
            send_window=self._peer_window,
            max_message_bytes=self._limits.max_message_bytes,
            content_length=head.content_length,
            deadline=None if head.timeout_seconds is None else self._now + head.timeout_seconds,
        )
        self._streams[stream_id] = stream
        events.append(Opened(stream_id, head, grpc))
        if self._block_ends_stream:
            self._remote_end(stream, events)

    def _trailers(
        self, stream: Stream, headers: Iterable[tuple[bytes, bytes]], events: list[WireEvent]
    ) -> None:
        if stream.remote_done:
            raise StreamFailed(stream.id, Code.STREAM_CLOSED, "HEADERS after END_STREAM")
        if not self._block_ends_stream:
            raise StreamFailed(stream.id, Code.PROTOCOL_ERROR, "trailers without END_STREAM")
        check_trailers(stream.id, headers)
        self._remote_end(stream, events)

    # --- ends -----------------------------------------------------------------------------------

    def _fail_stream(self, failed: StreamFailed, events: list[WireEvent]) -> None:
        stream = self._streams.get(failed.stream_id)
        if stream is not None:
            self._forget(stream)
            events.append(Gone(failed.stream_id, failed.why))
        self._remember(failed.stream_id)
        self._spend_control()
        self._out.append(f.rst_stream(failed.stream_id, failed.code))

    def _fail(self, failed: ConnectionFailed, events: list[WireEvent]) -> None:
        self._out.append(f.goaway(self._highest, failed.code, failed.why))
        self.closing = True
        self.failure = failed
        events.extend(self.lost(failed.why))

    def _forget(self, stream: Stream) -> None:
        self._held_bytes -= stream.held_bytes
        super()._forget(stream)

    def lost(self, reason: str = "connection lost") -> list[WireEvent]:
        """The connection is over: every open stream is gone."""
        gone: list[WireEvent] = [Gone(stream_id, reason) for stream_id in self._streams]
        self._streams.clear()
        self._outbox_bytes = self._held_bytes = 0
        self._pending = b""
        return gone

    def drain(self, *, final: bool) -> None:
        """Ask the peer to open no new streams; ``final`` refuses those it opens all the same."""
        self._draining = self._draining or final
        last = self._highest if final else f.LARGEST_WINDOW
        self._out.append(f.goaway(last, Code.NO_ERROR))

    def tick(self, now: float) -> list[WireEvent]:
        """Time has passed: deadlines, keepalive, a handshake or a write that does not end."""
        events: list[WireEvent] = []
        if self.closing:
            return events
        limits = self._limits
        silent = now - self._heard_at
        if not self._settled and now - self._opened_at > limits.handshake_seconds:
            self._fail(ConnectionFailed(Code.SETTINGS_TIMEOUT, "no SETTINGS"), events)
            return events
        if self._stalled_since is not None and (
            now - self._stalled_since > limits.keepalive_timeout_seconds
        ):
            self._fail(ConnectionFailed(Code.ENHANCE_YOUR_CALM, "answers are not read"), events)
            return events
        if self._pinged_at is not None:
            if now - self._pinged_at > limits.keepalive_timeout_seconds:
                self._fail(ConnectionFailed(Code.NO_ERROR, "keepalive timeout"), events)
                return events
        elif self._settled and silent > limits.keepalive_seconds:
            self._pinged_at = now
            self._out.append(f.ping(b"loadstar"))
        for stream in [s for s in self._streams.values() if s.deadline is not None]:
            if stream.deadline is not None and now > stream.deadline:
                self._forget(stream)
                self._remember(stream.id)
                self._out.append(f.rst_stream(stream.id, Code.CANCEL))
                events.append(Gone(stream.id, "deadline exceeded"))
        self._note_stall(now)
        return events
