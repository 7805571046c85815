"""A clock that moves only when told."""

from __future__ import annotations


class ManualClock:
    """Clock protocol; ``advance`` is the only thing that moves it."""

    def __init__(self, now: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._wall += seconds
