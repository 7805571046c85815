"""Finds the end of an HTTP/1.1 message without reading its body. No IO.

For the two ends of a load test that must cost next to nothing, and know whom they talk to: the
peer never pipelines, sends no trailers, and no body of ours ends like a last chunk.
"""

from __future__ import annotations

LAST_CHUNK = b"0\r\n\r\n"
LENGTH = b"\r\ncontent-length: "


class MessageEnd:
    """One connection's messages in one direction, one after another."""

    __slots__ = ("_left", "_tail", "head")

    def __init__(self) -> None:
        self.head = b""
        """Of the message that is coming or has just ended."""
        self._left: int | None = None
        """Bytes of body still to come; None in a head, -1 in a chunked body."""
        self._tail = b""

    def feed(self, data: bytes) -> bool:
        """Whether ``data`` completes the message. Raises ValueError for a head that is no head."""
        if self._left is None:
            data = self._tail + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._tail = data
                return False
            self.head, self._tail = data[:end], b""
            self._left = _length(self.head)
            data = data[end + 4 :]
        if self._left >= 0:
            self._left -= len(data)
            over = self._left <= 0
        else:
            self._tail = (self._tail + data)[-len(LAST_CHUNK) :]
            over = self._tail == LAST_CHUNK
        if over:
            self._left, self._tail = None, b""
        return over


def _length(head: bytes) -> int:
    """The declared length; -1 for a chunked body, 0 where a request has none."""
    lower = head.lower()
    at = lower.find(LENGTH)
    if at >= 0:
        return int(lower[at + len(LENGTH) :].partition(b"\r")[0])
    return -1 if b"\r\ntransfer-encoding: chunked" in lower else 0
