"""A body collected piece by piece until it can be routed."""

from __future__ import annotations

from io import BytesIO

from gateway.extproc.session.room import SMALL_BYTES, Room


class HeldBody:
    """Takes memory for the bytes it holds, however small the pieces they come in.

    A list of pieces would not: two bytes of body cost forty of Python, and a client chooses how
    its body is cut. The first piece is not copied, for most bodies come in one.
    """

    __slots__ = ("_first", "_joined", "_room", "_taken", "size")

    def __init__(self, room: Room) -> None:
        self.size = 0
        self._first = b""
        self._joined: BytesIO | None = None
        self._room = room
        self._taken = 0
        """Of ``room``, for what is longer than a small body."""

    def add(self, piece: bytes) -> None:
        """Hold ``piece`` too. Raises NoRoom, and holds what it held."""
        beyond = self.size + len(piece) - SMALL_BYTES - self._taken
        if beyond > 0:
            self._room.take(beyond)
            self._taken += beyond
        if self._joined is not None:
            self._joined.write(piece)
        elif self.size:
            self._joined = BytesIO()
            self._joined.write(self._first)
            self._joined.write(piece)
        else:
            self._first = piece
        self.size += len(piece)

    def take(self) -> bytes:
        """The whole body; nothing is held afterwards."""
        body = self._first if self._joined is None else self._joined.getvalue()
        self.drop()
        return body

    def drop(self) -> None:
        """Hold nothing any more."""
        self._room.give_back(self._taken)
        self.size, self._first, self._joined, self._taken = 0, b"", None, 0
