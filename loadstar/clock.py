"""Time as a value: the Clock protocol, and the only file that reads the machine's clocks."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What tells time. Everything that decides takes ``now`` instead."""

    def now(self) -> float:
        """Seconds, monotonic; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch, for what leaves the process."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
