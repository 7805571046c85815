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

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class ScaledClock:
    """A clock that runs ``factor`` times as fast as ``base``, and showed the same at ``agreed_s``.

    For demonstrations: days pass in minutes. Sleeps are still the machine's.
    """

    def __init__(self, base: Clock, factor: float, agreed_s: float) -> None:
        self.factor = factor
        self._base = base
        self._agreed_s = agreed_s

    @classmethod
    def showing(cls, base: Clock, factor: float, shows_s: float) -> ScaledClock:
        """One that shows the Unix time ``shows_s`` now; ``factor`` is more than 1."""
        return cls(base, factor, (factor * base.wall() - shows_s) / (factor - 1.0))

    @property
    def agreed_s(self) -> float:
        """When both clocks show the same, in Unix seconds."""
        return self._agreed_s

    def now(self) -> float:
        return self.factor * self._base.now()

    def wall(self) -> float:
        return self._agreed_s + self.factor * (self._base.wall() - self._agreed_s)
