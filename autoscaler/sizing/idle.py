"""When the last replica may go, and when the first comes back.

The choice of a skier who may rent or buy: stay while waiting has cost less than a cold start
would, unless the pauses seen so far tell a better moment. Pure; the planner asks on every tick.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from autoscaler.policy.model import ScaleToZeroPolicy

_COLD_START_COUNTS: Final = 5.0
"""Seconds of a replica that one second of waiting for a cold start is worth."""
_PAUSES_KEPT: Final = 64
_PAUSES_TOLD: Final = 8
_PAUSE_FROM_S: Final = 60.0
EXPECTED_WORK: Final = 0.05
"""Work a second, in replicas, that is reason enough to be awake before it comes."""


@dataclass(slots=True)
class Idle:
    """How long nothing has come, and how long such pauses lasted."""

    policy: ScaleToZeroPolicy
    _since_s: float | None = None
    _pauses: deque[float] = field(default_factory=lambda: deque(maxlen=_PAUSES_KEPT))

    def see(self, now_s: float, *, busy: bool) -> None:
        """One tick with or without requests."""
        if not busy:
            self._since_s = now_s if self._since_s is None else self._since_s
            return
        if self._since_s is not None and now_s - self._since_s >= _PAUSE_FROM_S:
            self._pauses.append(now_s - self._since_s)
        self._since_s = None

    def forget(self) -> None:
        """Nobody knows what came: the pause begins anew."""
        self._since_s = None

    def over(self, now_s: float, lead_s: float) -> bool:
        """Whether the last replica may go now."""
        if not self.policy.enabled or self._since_s is None:
            return False
        return now_s - self._since_s >= self.limit_s(lead_s)

    def limit_s(self, lead_s: float) -> float:
        """How long to stay up in a pause."""
        if self.policy.idle_s is not None:
            return self.policy.idle_s
        price_s = _COLD_START_COUNTS * max(lead_s, _PAUSE_FROM_S)
        if len(self._pauses) < _PAUSES_TOLD:
            return price_s  # at most twice what foresight would have paid

        def paid(limit: float) -> float:
            return sum(p if p <= limit else limit + price_s for p in self._pauses)

        choices = sorted({_PAUSE_FROM_S, price_s, *(p for p in self._pauses if p < price_s)})
        return min(choices, key=lambda limit: (paid(limit), limit))
