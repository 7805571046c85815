"""A token bucket over a clock that is handed in."""

from __future__ import annotations


class Bucket:
    """Holds up to ``burst`` tokens, gains ``per_second``; ``take`` says whether one was there."""

    __slots__ = ("_at", "_burst", "_per_second", "_tokens")

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> bool:
        if self._tokens < 1.0:
            gained = (now - self._at) * self._per_second
            self._tokens = min(self._burst, self._tokens + gained)
            self._at = now
            if self._tokens < 1.0:
                return False
        self._tokens -= 1.0
        return True
