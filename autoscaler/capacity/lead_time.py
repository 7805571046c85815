"""How long what is ordered takes to serve, learned per pool from orders and arrivals.

Orders are matched with arrivals first in, first out. What the policy says counts as the first few
samples and fades. Pure; the planner and the live collector both feed it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_KEPT: Final = 200
_PRIOR_SAMPLES: Final = 8
_LONGEST: Final = 4.0
"""A sample longer than this many priors was a shortage, not a lead time."""
_PRIOR_MEDIAN: Final = 0.8
"""The median over the 90th percentile, for priors."""


@dataclass(slots=True)
class LeadTimes:
    """Samples of one pool (and one path, where several are told apart)."""

    prior_p90_s: float
    samples: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def add(self, seconds: float) -> None:
        """Count one delivery; what is not a time, or was a shortage, does not count."""
        if 0 < seconds <= _LONGEST * max(self.prior_p90_s, 60.0):
            self.samples.append(seconds)

    def extend(self, samples: Iterable[float]) -> None:
        for seconds in samples:
            self.add(seconds)

    def p90_s(self) -> float:
        return self._blend(0.9, self.prior_p90_s)

    def p50_s(self) -> float:
        return self._blend(0.5, _PRIOR_MEDIAN * self.prior_p90_s)

    def _blend(self, share: float, prior_s: float) -> float:
        count = len(self.samples)
        if not count:
            return prior_s
        seen = sorted(self.samples)[min(count - 1, math.ceil(share * count) - 1)]
        return (count * seen + _PRIOR_SAMPLES * prior_s) / (count + _PRIOR_SAMPLES)


@dataclass(slots=True)
class Orders:
    """What one pool was asked for and has not delivered, oldest first."""

    _open: deque[float] = field(default_factory=lambda: deque(maxlen=1024))

    def place(self, now_s: float, count: int) -> None:
        """``count`` more replicas were asked for; fewer than none withdraws the newest."""
        for _ in range(count):
            self._open.append(now_s)
        for _ in range(min(-count, len(self._open))):
            self._open.pop()

    def deliver(self, now_s: float, count: int) -> list[float]:
        """How long each of ``count`` replicas took that are Ready now."""
        return [now_s - self._open.popleft() for _ in range(min(count, len(self._open)))]
