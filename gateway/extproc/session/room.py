"""How much memory the bodies that wait for their route may take, of all requests together.

Without a bound a few dozen clients that send long bodies slowly take more than a pod has, and its
end is that of every stream. Called by ``held_body``; one ``Room`` for all sessions of a process.
"""

from __future__ import annotations

from gateway.errors import NoRoom

SMALL_BYTES = 256 << 10
"""Of each body, what is held however full it is: most prompts are shorter, and those must not
suffer for the long ones. A proxy's connections bound how many there are."""


class Room:
    """Counts what is held of long bodies, beyond the first ``SMALL_BYTES`` of each."""

    __slots__ = ("_most_bytes", "held_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Room for ``size`` more bytes. Raises NoRoom, and takes nothing then."""
        if self.held_bytes + size > self._most_bytes:
            raise NoRoom("too many long request bodies are on their way; try again in a moment")
        self.held_bytes += size

    def give_back(self, size: int) -> None:
        """``size`` bytes of what was taken are held no more."""
        self.held_bytes -= size
