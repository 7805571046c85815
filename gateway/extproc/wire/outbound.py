"""The sending half of a connection: flow control, framing, queues, and forgetting what has ended.

``ControlFrames`` builds on it, and ``Connection`` on that; nothing else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from gateway.extproc.wire import frames as f
from gateway.extproc.wire.frames import Code, ConnectionFailed
from gateway.extproc.wire.headers import (
    GRPC_HEADERS,
    GRPC_OK,
    TABLE_SIZE_ZERO,
    grpc_trailers,
    plain_headers,
)
from gateway.extproc.wire.limits import WireLimits
from gateway.extproc.wire.messages import PREFIX, PREFIX_BYTES
from gateway.extproc.wire.stream import Stream

MESSAGE_HEAD = Struct(">IBIBI")
"""The head of a DATA frame and the prefix of the one message in it."""
REMEMBERED_ENDS = 8192  # streams we ended while the peer may still be sending on them
UPDATES_PER_DATA = 2  # WINDOW_UPDATE frames a DATA frame may cost its reader: stream, connection


class Outbound:
    """Bytes to send, by stream. Sizes and windows are in bytes."""

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._out: list[bytes] = []
        self._streams: dict[int, Stream] = {}
        self._ended_by_us: dict[int, None] = {}
        self._send_window = f.DEFAULT_WINDOW
        self._peer_window = f.DEFAULT_WINDOW
        self._peer_frame = f.DEFAULT_FRAME_SIZE
        self._outbox_bytes = 0
        self._uncredited = 0
        self._updates_due = 0
        self._stalled_since: float | None = None
        self._sent_bytes = self._sent_bytes_seen = 0
        self._announce_empty_table = False
        self.writable = True
        """The host's word on its socket: False holds answers back here."""
        self.closing = False
        """Write what ``take`` gives, then close."""
        self.failure: ConnectionFailed | None = None

    def __len__(self) -> int:
        """Open streams."""
        return len(self._streams)

    @property
    def unsent_bytes(self) -> int:
        return self._outbox_bytes

    def take(self) -> bytes:
        """Everything to write now."""
        if not self._out:
            return b""
        out = b"".join(self._out) if len(self._out) > 1 else self._out[0]
        self._out.clear()
        self._sent_bytes += len(out)
        return out

    def send(self, stream_id: int, messages: Sequence[bytes]) -> None:
        """Queue gRPC messages; nothing happens on a stream that is gone."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.trailers is not None:
            return
        if not stream.headers_sent:
            stream.headers_sent = True
            self._head(stream_id, GRPC_HEADERS, 0)
        for message in messages:
            length = len(message)
            size = length + PREFIX_BYTES
            if (
                not stream.outbox
                and self.writable
                and size <= self._peer_frame
                and size <= stream.send_window
                and size <= self._send_window
            ):
                stream.send_window -= size
                self._send_window -= size
                self._updates_due += UPDATES_PER_DATA
                self._out.append(MESSAGE_HEAD.pack(size << 8 | f.DATA, 0, stream_id, 0, length))
                self._out.append(message)
            else:
                self._enqueue(stream, PREFIX.pack(0, length))
                self._enqueue(stream, message)
        if stream.outbox:
            self._pump(stream)

    def finish(self, stream_id: int, status: int = 0, message: str = "") -> None:
        """End our side with a gRPC status, after what is queued."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.trailers is not None:
            return
        block = GRPC_OK if not status else grpc_trailers(status, message)
        if not stream.headers_sent:
            stream.headers_sent = True
            block = GRPC_HEADERS + block
        stream.trailers = block
        self._pump(stream)

    def answer_plain(self, stream_id: int, status: int, body: bytes) -> None:
        """Answer a request that is not gRPC."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.headers_sent:
            return
        stream.headers_sent = True
        self._head(stream_id, plain_headers(status, body), 0)
        stream.trailers = b""
        self._enqueue(stream, body)
        self._pump(stream)

    def reset(self, stream_id: int, code: Code) -> None:
        """Abort one stream."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._forget(stream)
            self._remember(stream_id)
            self._out.append(f.rst_stream(stream_id, code))

    # --- inside ---------------------------------------------------------------------------------

    def _head(self, stream_id: int, block: bytes, flags: int) -> None:
        if self._announce_empty_table:
            self._announce_empty_table = False
            block = TABLE_SIZE_ZERO + block
        limit = self._peer_frame
        if len(block) <= limit:
            self._out.append(f.frame(f.HEADERS, flags | f.END_HEADERS, stream_id, block))
            return
        self._out.append(f.frame(f.HEADERS, flags, stream_id, block[:limit]))
        for at in range(limit, len(block), limit):
            last = f.END_HEADERS if at + limit >= len(block) else 0
            self._out.append(f.frame(f.CONTINUATION, last, stream_id, block[at : at + limit]))

    def _enqueue(self, stream: Stream, data: bytes) -> None:
        if data:
            stream.outbox.append(data)
            stream.outbox_bytes += len(data)
            self._outbox_bytes += len(data)

    def _pump(self, stream: Stream) -> None:
        """Send what the windows allow of one stream, and its end once nothing is left."""
        while stream.outbox and self.writable:
            room = min(self._peer_frame, stream.send_window, self._send_window)
            if room <= 0:
                return
            payload = self._cut(stream, room)
            stream.send_window -= len(payload)
            self._send_window -= len(payload)
            self._updates_due += UPDATES_PER_DATA
            ends = not stream.outbox and stream.trailers == b""
            self._out.append(
                f.HEAD.pack(len(payload) << 8 | f.DATA, f.END_STREAM if ends else 0, stream.id)
            )
            self._out.append(payload)
            if ends:
                self._local_end(stream)
                return
        if not stream.outbox and stream.trailers is not None and not stream.local_done:
            self._head(stream.id, stream.trailers, f.END_STREAM)
            self._local_end(stream)

    def _cut(self, stream: Stream, room: int) -> bytes:
        """Take up to ``room`` bytes off the front of a stream's outbox."""
        pieces: list[bytes] = []
        have = 0
        while stream.outbox and have < room:
            piece = stream.outbox[0]
            if len(piece) > room - have:
                stream.outbox[0] = piece[room - have :]
                piece = piece[: room - have]
            else:
                stream.outbox.popleft()
            pieces.append(piece)
            have += len(piece)
        stream.outbox_bytes -= have
        self._outbox_bytes -= have
        return b"".join(pieces) if len(pieces) > 1 else pieces[0]

    def _pump_all(self) -> None:
        for stream in [s for s in self._streams.values() if s.outbox]:
            if self._send_window <= 0 or not self.writable:
                break
            self._pump(stream)

    def _local_end(self, stream: Stream) -> None:
        stream.local_done = True
        if not stream.remote_done:
            # A whole answer before the whole request: RFC 9113 section 8.1 lets us say "stop".
            self._out.append(f.rst_stream(stream.id, Code.NO_ERROR))
            self._remember(stream.id)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._outbox_bytes -= stream.outbox_bytes
        stream.outbox.clear()
        stream.outbox_bytes = 0
        self._streams.pop(stream.id, None)

    def _remember(self, stream_id: int) -> None:
        self._ended_by_us[stream_id] = None
        if len(self._ended_by_us) > REMEMBERED_ENDS:
            del self._ended_by_us[next(iter(self._ended_by_us))]

    def _was_ended_by_us(self, stream_id: int) -> bool:
        """Whether ``stream_id`` is one of those remembered; it is forgotten by asking."""
        return self._ended_by_us.pop(stream_id, self) is None

    def _note_stall(self, now: float) -> None:
        """Start or stop the clock of a peer that does not read while much waits for it."""
        blocked = not self.writable or self._outbox_bytes > self._limits.max_unsent_bytes
        if not blocked or self._sent_bytes != self._sent_bytes_seen:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        self._sent_bytes_seen = self._sent_bytes
