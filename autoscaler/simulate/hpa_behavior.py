"""From a proposal to a size as the Horizontal Pod Autoscaler does it: bounds, windows, rates.

One ``Hpa`` remembers what the controller's process remembers for one object: recommendations and
scale events. A restart forgets both. The metrics' arithmetic is in ``hpa``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from autoscaler.simulate.hpa import NoMetric, together

SYNC_PERIOD_S = 15.0


@dataclass(frozen=True, slots=True)
class Rate:
    """One policy of a direction: at most ``value`` pods or percent in ``period_s``."""

    kind: str  # Pods | Percent
    value: int
    period_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction of ``spec.behavior``; ``select`` is Max, Min or Disabled."""

    window_s: float
    rates: tuple[Rate, ...]
    select: str = "Max"


UP = Rules(0.0, (Rate("Percent", 100), Rate("Pods", 4)))
DOWN = Rules(300.0, (Rate("Percent", 100),))


@dataclass(frozen=True, slots=True)
class Bounds:
    """``minReplicas`` and ``maxReplicas`` at the moment of a sync."""

    least: int
    most: int


@dataclass(slots=True)
class Hpa:
    """The memory of one autoscaler and its sync.

    ``plain`` is an object without ``spec.behavior``: the window of ``down`` holds, and one sync at
    most doubles.
    """

    up: Rules = UP
    down: Rules = DOWN
    plain: bool = False
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _added: list[tuple[float, int]] = field(default_factory=list)
    _removed: list[tuple[float, int]] = field(default_factory=list)

    def sync(
        self, now_s: float, current: int, bounds: Bounds, proposals: Sequence[int | NoMetric]
    ) -> int:
        """The size to have after this sync; ``current`` where nothing changes.

        Out of bounds is mended at once, past metrics, windows and rates; yet the jump counts as a
        scale event and uses up the rate of its period.
        """
        if current == 0 and bounds.least != 0:
            return 0  # ScalingDisabled: somebody switched the workload off
        if current > bounds.most:
            return self._scaled(now_s, current, bounds.most)
        if current < bounds.least:
            return self._scaled(now_s, current, bounds.least)
        proposal = together(proposals, current)
        if isinstance(proposal, NoMetric):
            return current
        return self._scaled(now_s, current, self._normalised(now_s, current, bounds, proposal))

    def _normalised(self, now_s: float, current: int, bounds: Bounds, proposal: int) -> int:
        steady = self._stabilised(now_s, current, proposal)
        if steady > current:
            limit = max(self._up_limit(now_s, current), current)
            return min(steady, limit, bounds.most)
        if steady < current:
            limit = min(self._down_limit(now_s, current), current)
            return max(steady, limit, bounds.least)
        return steady

    def _stabilised(self, now_s: float, current: int, proposal: int) -> int:
        if not self._recommended:
            self._recommended.append((now_s, current))
        longest_s = max(self.up.window_s, self.down.window_s)
        self._recommended = [r for r in self._recommended if r[0] > now_s - longest_s]
        lowest = highest = proposal
        for at_s, size in self._recommended:
            if at_s > now_s - self.up.window_s:
                lowest = min(lowest, size)
            if at_s > now_s - self.down.window_s:
                highest = max(highest, size)
        self._recommended.append((now_s, proposal))
        return min(max(current, lowest), highest)

    def _up_limit(self, now_s: float, current: int) -> int:
        if self.plain:
            return max(2 * current, 4)
        if self.up.select == "Disabled" or not self.up.rates:
            return current
        limits = []
        for rate in self.up.rates:
            start = current - _within(self._added, now_s, rate.period_s)
            start += _within(self._removed, now_s, rate.period_s)
            if rate.kind == "Pods":
                limits.append(start + rate.value)
            else:
                limits.append(math.ceil(start * (1 + rate.value / 100)))
        return max(limits) if self.up.select == "Max" else min(limits)

    def _down_limit(self, now_s: float, current: int) -> int:
        if self.plain:
            return 0
        if self.down.select == "Disabled" or not self.down.rates:
            return current
        limits = []
        for rate in self.down.rates:
            start = current + _within(self._removed, now_s, rate.period_s)
            start -= _within(self._added, now_s, rate.period_s)
            if rate.kind == "Pods":
                limits.append(start - rate.value)
            else:
                limits.append(int(start * (1 - rate.value / 100)))
        return min(limits) if self.down.select == "Max" else max(limits)

    def _scaled(self, now_s: float, current: int, size: int) -> int:
        longest_s = max((r.period_s for r in (*self.up.rates, *self.down.rates)), default=0.0)
        if size > current:
            self._added = [e for e in self._added if e[0] > now_s - longest_s]
            self._added.append((now_s, size - current))
        elif size < current:
            self._removed = [e for e in self._removed if e[0] > now_s - longest_s]
            self._removed.append((now_s, current - size))
        return size


def _within(events: Sequence[tuple[float, int]], now_s: float, period_s: float) -> int:
    return sum(count for at_s, count in events if at_s > now_s - period_s)
