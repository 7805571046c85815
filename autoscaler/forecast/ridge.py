"""Ridge regression on how much higher the next minutes get than the last five were.

Refitted four times a day on two weeks, recent days counting more. A window that has not closed is
no label. Weighted least squares in closed form: milliseconds, and the same numbers every time.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from autoscaler.forecast.features import WIDTH, features, level
from autoscaler.forecast.series import DAY, Floats, MinuteSeries

_HALF_LIFE_MINUTES: Final = 5 * DAY
_SHRINK: Final = 3e-3
_REFIT_MINUTES: Final = 6 * 60
_YOUNG_REFIT_MINUTES: Final = 60
_LEAST_ROWS: Final = 180
_MOST: Final = 1.5
"""No prediction is further than this, in logs, from the last five minutes."""


class Ridge:
    """Linear in the features; the last value until there is enough to fit."""

    name = "ridge"

    def __init__(self, kept: int) -> None:
        self._rows = np.zeros((2 * kept, WIDTH), dtype=np.float32)
        self._levels: Floats = np.zeros(2 * kept)
        self._kept = kept
        self._coefficients: Floats | None = None
        self._means: Floats = np.zeros(WIDTH)
        self._scales: Floats = np.ones(WIDTH)
        self._intercept = 0.0
        self._next_fit = 0

    def shift(self) -> None:
        """Old days went from the series: let go of their rows."""
        self._rows[: self._kept] = self._rows[self._kept :].copy()
        self._levels[: self._kept] = self._levels[self._kept :].copy()

    def learn(self, series: MinuteSeries, horizon: int) -> None:
        at = len(series) - 1
        self._rows[at] = features(series)
        self._levels[at] = level(series)
        if series.minute >= self._next_fit:
            self._fit(series, horizon)

    def expect(self, series: MinuteSeries, horizon: int) -> float:
        at = len(series) - 1
        rise = 0.0
        if self._coefficients is not None:
            row = (self._rows[at] - self._means) / self._scales
            row[np.isnan(row)] = 0.0
            rise = min(max(float(row @ self._coefficients) + self._intercept, -_MOST), _MOST)
        return math.exp(float(self._levels[at]) + rise)

    def _fit(self, series: MinuteSeries, horizon: int) -> None:
        newest = len(series) - 1
        labels = series.labels[: max(0, newest - horizon + 1)][-self._kept :]
        offset = max(0, newest - horizon + 1) - len(labels)
        usable = np.flatnonzero(~np.isnan(labels)) + offset
        self._next_fit = series.minute + _YOUNG_REFIT_MINUTES
        if len(usable) < _LEAST_ROWS:
            return
        if len(usable) > DAY:
            self._next_fit = series.minute + _REFIT_MINUTES
        weights = 0.5 ** ((newest - usable) / _HALF_LIFE_MINUTES)
        total = float(weights.sum())
        table = self._rows[usable].astype(np.float64)
        missing = np.isnan(table)
        share = np.where(missing, 0.0, weights[:, None])
        table[missing] = 0.0
        present = np.maximum(share.sum(axis=0), 1e-12)
        means = (share * table).sum(axis=0) / present
        centred = np.where(missing, 0.0, table - means)
        scales = np.sqrt((share * centred**2).sum(axis=0) / present)
        scales[scales < 1e-9] = 1.0
        standard = centred / scales
        target = series.labels[usable] - self._levels[usable]
        mean_target = float(weights @ target) / total
        weighted = standard * weights[:, None]
        gram = weighted.T @ standard
        gram[np.diag_indices(WIDTH)] += _SHRINK * total
        solved = np.linalg.solve(gram, weighted.T @ (target - mean_target))
        self._coefficients = solved
        self._means, self._scales, self._intercept = means, scales, mean_target
