"""One HTTP/2 stream's state: windows, the message reader and what waits to be sent."""

from __future__ import annotations

from collections import deque

from gateway.extproc.wire.messages import MessageReader


class Stream:
    """Mutable and slotted: one of these lives per ext_proc stream. Windows are in bytes."""

    __slots__ = (
        "content_length",
        "deadline",
        "grpc",
        "headers_sent",
        "id",
        "local_done",
        "outbox",
        "outbox_bytes",
        "reader",
        "receive_uncredited",
        "receive_window",
        "received_bytes",
        "remote_done",
        "send_window",
        "trailers",
    )

    def __init__(
        self,
        stream_id: int,
        *,
        grpc: bool,
        receive_window: int,
        send_window: int,
        max_message_bytes: int,
        content_length: int | None,
        deadline: float | None,
    ) -> None:
        self.id = stream_id
        self.grpc = grpc
        self.receive_window = receive_window
        self.receive_uncredited = 0
        self.send_window = send_window
        self.reader = MessageReader(max_message_bytes)
        self.received_bytes = 0
        self.content_length = content_length
        self.deadline = deadline
        self.outbox: deque[bytes] = deque()
        self.outbox_bytes = 0
        self.headers_sent = False
        self.trailers: bytes | None = None
        """The header block that ends our side; b"" ends it by END_STREAM on the last DATA frame."""
        self.local_done = False
        self.remote_done = False

    @property
    def held_bytes(self) -> int:
        """Bytes kept of a message that is not whole yet."""
        return self.reader.held_bytes if self.grpc and not self.remote_done else 0
