"""One minute as the regression sees it: levels at several spans, days ago, time of day and hour.

Everything is relative to the level of the last five minutes, and only closed minutes are read.
NaN marks what a short history does not have.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from autoscaler.forecast.series import DAY, LEAST, RECENT_MINUTES, Floats, MinuteSeries

_SPANS: Final = (1, 3, 15, 30, 60, 180)
_LAG_DAYS: Final = (1, 2, 7)
_DAILY: Final = 4
_HOURLY: Final = 3
WIDTH: Final = 1 + len(_SPANS) + 2 + 2 * len(_LAG_DAYS) + 2 * (_DAILY + _HOURLY) + 1
_WEEKDAY_OF_EPOCH: Final = 3  # 1970-01-01 was a Thursday


def _waves() -> Floats:
    minutes: Floats = np.arange(DAY, dtype=np.float64)
    columns: list[Floats] = []
    for k in range(1, _DAILY + 1):
        angle = 2.0 * math.pi * k * minutes / DAY
        columns += [np.sin(angle), np.cos(angle)]
    for k in range(1, _HOURLY + 1):
        angle = 2.0 * math.pi * k * (minutes % 60) / 60.0
        columns += [np.sin(angle), np.cos(angle)]
    return np.array(columns, dtype=np.float64).T


_WAVES: Final = _waves()


def level(series: MinuteSeries, ago: int = 0) -> float:
    """Log of the recent mean: what predictions are relative to."""
    return math.log(max(series.mean(RECENT_MINUTES, ago), LEAST))


def features(series: MinuteSeries) -> Floats:
    """The row of the newest closed minute."""
    now = level(series)
    row = np.empty(WIDTH)
    row[0] = now
    at = 1
    for span in _SPANS:
        row[at] = math.log(max(series.mean(span), LEAST)) - now
        at += 1
    row[at] = series.most(30) - now
    back = max(0, len(series) - 11)
    row[at + 1] = float(series.logs[len(series) - 1] - series.logs[back])
    at += 2
    for days in _LAG_DAYS:
        ago = days * DAY
        if len(series) > ago + RECENT_MINUTES:
            then = level(series, ago)
            row[at] = series.label(ago) - then
            row[at + 1] = then - now
        else:
            row[at : at + 2] = np.nan
        at += 2
    minute = series.minute
    row[at : at + _WAVES.shape[1]] = _WAVES[minute % DAY]
    row[WIDTH - 1] = 1.0 if (minute // DAY + _WEEKDAY_OF_EPOCH) % 7 >= 5 else 0.0
    return row
