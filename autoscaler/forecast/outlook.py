"""Demand at moments from one minute to an hour ahead: for dashboards and for people.

Sizes are not decided by it; that takes the most within a lead time. One regression tells all
moments, and each has a bound of its own that is exceeded as often as it should be.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from autoscaler.forecast.conformal import Conformal
from autoscaler.forecast.ridge import Fitted, Moments
from autoscaler.forecast.series import LEAST, Floats, MinuteSeries

MINUTES_AHEAD: Final = (1, 2, 5, 10, 15, 30, 60)
_FARTHEST: Final = MINUTES_AHEAD[-1]
_PLACE: Final = {minutes: place for place, minutes in enumerate(MINUTES_AHEAD)}
_EVERY: Final = 5
_LEAST_ROWS: Final = 180
_REFIT_MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class Ahead:
    """Work a second, in reference replicas, in the minute that is ``minutes`` ahead."""

    minutes: int
    expected: float
    upper: float


class Outlook:
    """Renewed every five minutes."""

    def __init__(self, miss_rate: float) -> None:
        self.latest: tuple[Ahead, ...] = ()
        self._open: deque[tuple[Floats, float]] = deque(maxlen=_FARTHEST + 1)
        self._moments = Moments(len(MINUTES_AHEAD))
        self._fitted: Fitted | None = None
        self._next_fit = 0
        self._bounds = [Conformal(miss_rate) for _ in MINUTES_AHEAD]
        self._said: deque[tuple[int, tuple[Ahead, ...]]] = deque(maxlen=_FARTHEST // _EVERY + 1)

    def observe(self, series: MinuteSeries, row: Floats, now: float) -> None:
        """Take in the minute that has just closed, its features and its level."""
        self._open.append((row, now))
        if len(self._open) > _FARTHEST and series.whole(_FARTHEST + 1):
            then_row, then = self._open[0]
            at = len(series) - 1 - _FARTHEST
            logs = np.array([series.logs[at + minutes] for minutes in MINUTES_AHEAD])
            self._moments.add(then_row, logs - then)
        if not series.seen():
            return
        self._score(series)
        if series.minute % _EVERY:
            return
        if series.minute >= self._next_fit and self._moments.count >= _LEAST_ROWS:
            self._fitted = self._moments.solve()
            self._next_fit = series.minute + _REFIT_MINUTES
        rises = np.zeros(len(MINUTES_AHEAD)) if self._fitted is None else self._fitted.rise(row)
        expected = [math.exp(now + float(rise)) for rise in rises]
        self.latest = tuple(
            Ahead(minutes, value, bound.upper(value, value))
            for minutes, value, bound in zip(MINUTES_AHEAD, expected, self._bounds, strict=True)
        )
        self._said.append((series.minute, self.latest))

    def _score(self, series: MinuteSeries) -> None:
        """Score what was said of the minute that has just closed."""
        actual = max(series.mean(1), LEAST)
        for minute, said in self._said:
            place = _PLACE.get(series.minute - minute)
            if place is not None:
                each = said[place]
                self._bounds[place].learn(actual, each.expected, each.expected, each.upper)
