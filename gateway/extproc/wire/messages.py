"""gRPC message framing: a flag byte, a length, the message (gRPC over HTTP/2, section Requests)."""

from __future__ import annotations

from struct import Struct

PREFIX = Struct(">BI")
PREFIX_BYTES = 5


class MessageTooLarge(Exception):
    """A message announces more than the limit; its bytes are not kept."""


class CompressedMessage(Exception):
    """The compressed flag is set although we accept identity only."""


class MessageReader:
    """Cuts one stream's DATA bytes into messages; holds at most one incomplete message."""

    __slots__ = ("_have", "_need", "_parts", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._have = 0
        self._need = PREFIX_BYTES

    @property
    def held_bytes(self) -> int:
        return self._have

    def whole(self, buffer: bytes, start: int, end: int) -> bytes | None:
        """The message, where buffer[start:end] is exactly one and nothing waits for its end.

        None otherwise: then it has to be fed. Nearly every DATA frame is such a message.
        """
        if self._have or end - start < PREFIX_BYTES:
            return None
        flag, length = PREFIX.unpack_from(buffer, start)
        if flag or start + PREFIX_BYTES + length != end or length > self.max_bytes:
            return None
        return buffer[start + PREFIX_BYTES : end]

    def feed(self, data: bytes) -> list[bytes]:
        """Messages completed by ``data``, in order.

        Raises:
            MessageTooLarge: a prefix announces more than ``max_bytes``.
            CompressedMessage: a prefix has the compressed flag.
        """
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._need:
            return []
        whole = b"".join(self._parts) if len(self._parts) > 1 else data
        messages = []
        at = 0
        self._need = PREFIX_BYTES
        while len(whole) - at >= PREFIX_BYTES:
            flag, length = PREFIX.unpack_from(whole, at)
            if flag:
                raise CompressedMessage
            if length > self.max_bytes:
                raise MessageTooLarge
            end = at + PREFIX_BYTES + length
            if end > len(whole):
                self._need = PREFIX_BYTES + length
                break
            messages.append(whole[at + PREFIX_BYTES : end])
            at = end
        rest = whole[at:] if at else whole
        self._parts = [rest] if rest else []
        self._have = len(rest)
        return messages
