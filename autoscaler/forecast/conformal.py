"""From a middle estimate to an upper bound that is exceeded as often as it should be.

The bound adds a quantile of what was lately missing, in units of a scale. How deep a quantile is
itself steered by how often the bound was exceeded. Only windows that have closed count.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

_KEPT: Final = 7 * 1440
_STEP: Final = 0.0005
"""Windows overlap, so one excess is counted some ten times: faster steps would chase chance."""
_HIGHEST: Final = 0.6
_COLD_MARGIN: Final = 0.10
_YOUNG: Final = 240
_YOUNG_MOST: Final = 0.5
"""Until a few hours have been scored one jump would be the quantile: no score above this counts."""


class Conformal:
    """Scores of the last week in order of size, and the level that keeps the miss rate."""

    def __init__(self, miss_rate: float) -> None:
        self._miss_rate = miss_rate
        self._level = miss_rate
        self._sorted: list[float] = []
        self._queue: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def upper(self, expected: float, scale: float) -> float:
        """The bound over ``expected``, never below nothing."""
        count = len(self._sorted)
        if not count:
            return expected * (1.0 + _COLD_MARGIN)
        rank = int((count + 1) * (1.0 - self._level))
        score = self._sorted[min(max(rank, 0), count - 1)]
        if count < _YOUNG:
            score = min(score, _YOUNG_MOST)
        return max(0.0, expected + score * scale)

    def learn(self, actual: float, expected: float, scale: float, upper: float) -> None:
        """Count a closed window of which ``expected`` and ``upper`` were said."""
        missed = 1.0 if actual > upper else 0.0
        level = self._level + _STEP * (self._miss_rate - missed)
        self._level = min(max(level, self._miss_rate / 10), _HIGHEST)
        score = (actual - expected) / scale if scale > 0 else 0.0
        self._queue.append(score)
        insort(self._sorted, score)
        if len(self._queue) > _KEPT:
            oldest = self._queue.popleft()
            del self._sorted[bisect_left(self._sorted, oldest)]
