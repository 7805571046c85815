"""The same minutes of yesterday, scaled part of the way to today's height."""

from __future__ import annotations

import math
from typing import Final

from autoscaler.forecast.series import DAY, LEAST, RECENT_MINUTES, MinuteSeries

_LEVEL_MINUTES: Final = 60
_PULL: Final = 0.7
"""A day that runs higher than yesterday rarely runs as much higher all day."""


class Yesterday:
    """The largest work of the window one day ago, times the ratio of the hours before, to 0.7."""

    name = "seasonal"

    def expect(self, series: MinuteSeries, horizon: int) -> float:
        then = series.label(DAY)
        if math.isnan(then):
            return series.mean(RECENT_MINUTES)
        level = max(series.mean(_LEVEL_MINUTES), LEAST)
        level_then = max(series.mean(_LEVEL_MINUTES, ago=DAY), LEAST)
        return math.exp(then + _PULL * math.log(level / level_then))

    def learn(self, series: MinuteSeries, horizon: int) -> None:
        """It reads the series and keeps nothing."""
