"""Demand that is here now, in work: what arrives and what waits. The forecast comes on top.

The backlog counts by the time in which it should be gone: counting it whole would order a fleet
for a queue that one minute drains.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from autoscaler.observe.observation import Demand

SPIKE: Final = 1.25
"""How far the last 15 s may stand above the last minute before it counts as noise."""
DRAIN_S: Final = 3.0
"""How soon a backlog should be gone: after a jump all that comes is late until it is."""
_VARIES_S: Final = 3600.0
"""Time constant of how much arrivals vary: sources change with the hours, not with the minutes."""
_UNKNOWN_VARIATION: Final = 0.05
"""What is believed of arrivals until they have been watched."""
_CHANCE_S: Final = 7.5
"""Half a tick: what so many seconds bring beyond their mean may wait and mean nothing."""
_SIZES_S: Final = 600.0
"""Time constant of the mean request size: sizes drift slowly, rates do not."""


@dataclass(slots=True)
class RequestSize:
    """Mean tokens of a request, smoothed. None until one has been seen."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    prefix_hit: float = 0.0

    def update(self, demand: Demand, elapsed_s: float) -> None:
        if not demand.arrivals_rps:
            return
        gain = min(1.0, elapsed_s / _SIZES_S)
        if demand.input_tokens is not None:
            self.input_tokens = _toward(self.input_tokens, demand.input_tokens, gain)
        if demand.output_tokens is not None:
            self.output_tokens = _toward(self.output_tokens, demand.output_tokens, gain)
        if demand.prefix_hit is not None:
            self.prefix_hit += gain * (min(max(demand.prefix_hit, 0.0), 1.0) - self.prefix_hit)


def _toward(mean: float | None, value: float, gain: float) -> float:
    return value if mean is None else mean + gain * (value - mean)


@dataclass(slots=True)
class Arrivals:
    """Arrivals of the last minute; from completions and the queue's growth where need be."""

    _recent: deque[tuple[float, float]] = field(default_factory=deque)
    _queued: tuple[float, float] | None = None  # when, how many
    _variance: float = _UNKNOWN_VARIATION**2

    def update(self, now_s: float, demand: Demand) -> float | None:
        """Requests a second that came in lately; None when that is not known."""
        rate = demand.arrivals_rps
        served, queued = demand.served_rps, demand.queued_requests
        before = self._queued
        if queued is not None:
            self._queued = (now_s, queued)
        if rate is None and served is not None and queued is not None and before is not None:
            # Completions alone would shrink the fleet that is too small to complete more.
            elapsed_s = now_s - before[0]
            rate = max(0.0, served + (queued - before[1]) / elapsed_s) if elapsed_s > 0 else None
        return rate

    def add(self, now_s: float, work: float) -> tuple[float, float]:
        """Remember ``work`` a second; returns that of the last tick and of the last minute."""
        elapsed_s = now_s - self._recent[-1][0] if self._recent else 0.0
        self._recent.append((now_s, work))
        while now_s - self._recent[0][0] >= 60.0:
            self._recent.popleft()
        count = len(self._recent)
        minute = sum(value for _, value in self._recent) / count
        if count > 1 and minute > 0:
            # Of the minute it is part of, hence the correction.
            square = (work / minute - 1.0) ** 2 * count / (count - 1)
            gain = min(1.0, max(elapsed_s, 0.0) / _VARIES_S)
            self._variance += gain * (min(square, 1.0) - self._variance)
        return work, minute

    def variation(self) -> float:
        """Standard deviation of a tick's arrivals within its minute, as a share of their mean.

        More than a ``SPIKE`` is not counted: that much of a tick is never believed to last.
        """
        return min(math.sqrt(self._variance), SPIKE - 1.0)


def reactive(tick: float, minute: float, backlog_work_s: float) -> float:
    """Work a second to serve now."""
    return max(minute, min(tick, SPIKE * minute)) + backlog_work_s / DRAIN_S


def beyond_chance(backlog_work_s: float, minute: float, variation: float) -> float:
    """What of a backlog varying arrivals do not explain: the rest is gone before help comes."""
    return max(0.0, backlog_work_s - _CHANCE_S * variation * minute)
