"""Work by the minute with what forecasts need of it at no cost: running sums, logs, closed maxima.

A gap repeats the value before it, so that features stay defined, and is marked: no window that
holds a gap ever becomes a label. Bounded; the oldest days go.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST: Final = 0.01
"""Work below one hundredth of a replica is the same as this: logs need a floor."""
DAY: Final = 1440
RECENT_MINUTES: Final = 5
"""The level that regressions are relative to is the mean of so many."""

Floats = NDArray[np.float64]


class MinuteSeries:
    """Positions count minutes from ``first``; the newest closed one is ``len - 1``."""

    def __init__(self, first_minute: int, kept: int) -> None:
        self.first = first_minute
        self._kept = kept
        self._used = 0
        size = 2 * kept
        self.logs: Floats = np.zeros(size)
        self.labels: Floats = np.full(size, np.nan)
        """Log of the largest work in the horizon after a minute; NaN until closed, or with gaps."""
        self._seen = np.zeros(size, dtype=np.bool_)
        self._values: Floats = np.zeros(size)
        self._sums: Floats = np.zeros(size + 1)

    def __len__(self) -> int:
        return self._used

    @property
    def minute(self) -> int:
        """Unix minute of the newest closed one."""
        return self.first + self._used - 1

    def add(self, work: float, horizon: int) -> None:
        """Close a minute; NaN is a gap."""
        self._make_room()
        i = self._used
        seen = math.isfinite(work)
        value = max(work, 0.0) if seen else float(self._values[i - 1]) if i else 0.0
        self._values[i] = value
        self._seen[i] = seen
        self.logs[i] = math.log(max(value, LEAST))
        self._sums[i + 1] = self._sums[i] + value
        self._used = i + 1
        start = i - horizon
        if start >= 0:
            window = slice(start + 1, i + 1)
            whole = self._seen[start] and self._seen[window].all()
            self.labels[start] = self.logs[window].max() if whole else np.nan

    def mean(self, minutes: int, ago: int = 0) -> float:
        """Mean work of the ``minutes`` up to ``ago`` minutes before now (fewer at the start)."""
        end = self._used - ago
        start = max(0, end - minutes)
        if end <= start:
            return float(self._values[0])
        return float(self._sums[end] - self._sums[start]) / (end - start)

    def most(self, minutes: int) -> float:
        """The largest log of the last ``minutes``."""
        return float(self.logs[max(0, self._used - minutes) : self._used].max())

    def label(self, ago: int) -> float:
        """The label of ``ago`` minutes before now; NaN where there is none."""
        at = self._used - 1 - ago
        return float(self.labels[at]) if at >= 0 else math.nan

    def whole(self, minutes: int) -> bool:
        """Whether none of the last ``minutes`` is a gap."""
        start = self._used - minutes
        return start >= 0 and bool(self._seen[start : self._used].all())

    def seen(self) -> bool:
        """Whether the newest minute is no gap."""
        return bool(self._used and self._seen[self._used - 1])

    def _make_room(self) -> None:
        if self._used < len(self._values):
            return
        drop = self._used - self._kept
        for column in (self.logs, self.labels, self._values, self._seen):
            column[: self._kept] = column[drop : self._used].copy()
        self.labels[self._kept :] = np.nan
        sums = self._sums
        sums[: self._kept + 1] = sums[drop : self._used + 1].copy() - sums[drop]
        self.first += drop
        self._used = self._kept
