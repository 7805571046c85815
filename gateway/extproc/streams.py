"""How many ext_proc streams are open, since when there is none, and whether we are closing them.

Shared by the hosts, which count, and by the drain, which waits. No IO.
"""

from __future__ import annotations

from typing import Protocol

from loadstar.clock import Clock


class Watcher(Protocol):
    """Who is told of streams, if anybody is (``--enable-grpc-stream-metrics``)."""

    def stream_opened(self) -> None: ...

    def stream_closed(self, code: str, seconds: float) -> None: ...


class Streams:
    """A count of open streams. One thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle_since = clock.now()
        self.open = 0
        self.closing = False
        """We are ending streams ourselves: one cut off now has ended in SHUTDOWN."""

    def opened(self) -> None:
        self.open += 1

    def closed(self) -> None:
        self.open -= 1
        if self.open == 0:
            self._idle_since = self._clock.now()

    def idle_seconds(self) -> float | None:
        """For how long no stream has been open; None while one is."""
        return None if self.open else self._clock.now() - self._idle_since
