"""Ridge regression on how much higher the next minutes get than the last five were.

Kept as moments that fade with a half-life of days, so that no old minute is stored and a refit
costs a small solve. A window enters when it has closed, never before. The same numbers every time.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from autoscaler.forecast.features import WIDTH, features, level
from autoscaler.forecast.series import DAY, Floats, MinuteSeries

_FADE: Final = 0.5 ** (1.0 / (5 * DAY))
_SHRINK: Final = 3e-3
_YOUNG_ROWS: Final = 20_000
"""A fit to one day believes in that day: shrink more until about two weeks have been seen."""
_REFIT_MINUTES: Final = 60
_LEAST_ROWS: Final = 180
_MOST: Final = 1.5
"""No prediction is further than this, in logs, from the last five minutes."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """target = intercept + (row - means) @ coefficients."""

    means: Floats
    coefficients: Floats
    intercept: Floats

    def rise(self, row: Floats) -> Floats:
        """The targets of ``row``, bounded; a feature that it lacks stands at its mean."""
        away = row - self.means
        away[np.isnan(away)] = 0.0
        made: Floats = np.clip(self.intercept + away @ self.coefficients, -_MOST, _MOST)
        return made


class Moments:
    """Faded sums over closed windows; a feature that a row lacks stands at its mean so far."""

    def __init__(self, targets: int = 1) -> None:
        self.count = 0
        self._weight = 0.0
        self._rows: Floats = np.zeros(WIDTH)
        self._squares: Floats = np.zeros((WIDTH, WIDTH))
        self._target: Floats = np.zeros(targets)
        self._products: Floats = np.zeros((WIDTH, targets))

    def add(self, row: Floats, target: Floats) -> None:
        whole = row
        missing = np.isnan(row)
        if missing.any():
            mean = self._rows / self._weight if self._weight > 0 else self._rows
            whole = np.where(missing, mean, row)
        self.count += 1
        self._weight = _FADE * self._weight + 1.0
        for sums, new in (
            (self._rows, whole),
            (self._target, target),
            (self._products, np.outer(whole, target)),
            (self._squares, np.outer(whole, whole)),
        ):
            sums *= _FADE
            sums += new

    def solve(self) -> Fitted:
        """The regression of what has been added."""
        means = self._rows / self._weight
        target = self._target / self._weight
        covariance = self._squares / self._weight - np.outer(means, means)
        scales = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        steady = scales < 1e-6  # a feature that never moved explains nothing
        scales[steady] = 1.0
        standard = covariance / np.outer(scales, scales)
        standard[np.diag_indices(WIDTH)] += _SHRINK * (1.0 + _YOUNG_ROWS / self.count)
        moved = (self._products / self._weight - np.outer(means, target)) / scales[:, None]
        moved[steady] = 0.0
        return Fitted(means, np.linalg.solve(standard, moved) / scales[:, None], target)


class Ridge:
    """Linear in the features; the last value until there is enough to fit."""

    name = "ridge"

    def __init__(self, horizon: int) -> None:
        self._open: deque[tuple[Floats, float]] = deque(maxlen=horizon + 1)
        self._moments = Moments()
        self._fitted: Fitted | None = None
        self._next_fit = 0

    @property
    def newest(self) -> tuple[Floats, float]:
        """Features and level of the minute that was learned last."""
        return self._open[-1]

    def learn(self, series: MinuteSeries, horizon: int) -> None:
        self._open.append((features(series), level(series)))
        if len(self._open) > horizon:
            row, then = self._open[0]
            label = series.label(horizon)
            if not math.isnan(label):
                self._moments.add(row, np.array([label - then]))
        if series.minute >= self._next_fit and self._moments.count >= _LEAST_ROWS:
            self._fitted = self._moments.solve()
            self._next_fit = series.minute + _REFIT_MINUTES

    def expect(self, series: MinuteSeries, horizon: int) -> float:
        row, now = self._open[-1]
        rise = 0.0 if self._fitted is None else float(self._fitted.rise(row)[0])
        return math.exp(now + rise)
