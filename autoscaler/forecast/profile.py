"""The shape of a day, learned slowly, at the height of the last hour."""

from __future__ import annotations

from typing import Final

import numpy as np

from autoscaler.forecast.series import DAY, LEAST, RECENT_MINUTES, MinuteSeries

_BIN: Final = 5
_DAY_GAIN: Final = 0.35
_LEVEL_GAIN: Final = 0.15


class DayProfile:
    """Mean work by five-minute bin of the day; a bin counts once it has closed."""

    name = "profile"

    def __init__(self) -> None:
        self._bins = np.full(DAY // _BIN, np.nan)
        self._level = 1.0
        self._sum = 0.0
        self._count = 0

    def learn(self, series: MinuteSeries, horizon: int) -> None:
        if series.seen():
            self._sum += series.mean(1)
            self._count += 1
        if (series.minute + 1) % _BIN:
            return
        if self._count:
            mean = self._sum / self._count
            index = series.minute % DAY // _BIN
            before = float(self._bins[index])
            if before != before:
                self._bins[index] = mean
            else:
                ratio = min(max(mean / max(before, LEAST), 0.2), 5.0)
                self._level += _LEVEL_GAIN * (ratio - self._level)
                self._bins[index] = before + _DAY_GAIN * (mean - before)
        self._sum, self._count = 0.0, 0

    def expect(self, series: MinuteSeries, horizon: int) -> float:
        first, last = series.minute + 1, series.minute + horizon
        bins = [
            float(self._bins[b % (DAY // _BIN)]) for b in range(first // _BIN, last // _BIN + 1)
        ]
        known = [value for value in bins if value == value]
        if len(known) < len(bins):
            return series.mean(RECENT_MINUTES)
        return max(known) * self._level
