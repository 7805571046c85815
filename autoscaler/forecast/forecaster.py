"""The experts, their bounds and the mix, minute by minute. The planner's one view of the future.

``observe`` takes each closed minute and gives the forecast as of it. Whatever was said is scored
when its window has closed, and never before. Starting from a history is the same as having lived
through it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from autoscaler.forecast.conformal import Conformal
from autoscaler.forecast.last_value import LastValue
from autoscaler.forecast.mix import Mix, pinball
from autoscaler.forecast.outlook import Outlook
from autoscaler.forecast.profile import DayProfile
from autoscaler.forecast.ridge import Ridge
from autoscaler.forecast.seasonal import Yesterday
from autoscaler.forecast.series import DAY, LEAST, MinuteSeries
from autoscaler.forecast.types import Expert, Forecast

KEPT_MINUTES: Final = 15 * DAY
_MEMORY: Final = 1.0 / (2 * DAY)
"""Gain of the running coverage and skill."""
_LAST_VALUE: Final = 2
"""Which bound is the last value's own, the one to beat."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said of the window that opens with a minute."""

    expected: list[float]
    scales: list[tuple[float, float]]
    uppers: list[float]
    mixed: float
    mixed_scale: float
    upper: float
    size: float


class Forecaster:
    """Forecasts the largest work of the next ``horizon`` minutes."""

    def __init__(self, first_minute: int, horizon: int, miss_rate: float) -> None:
        self.horizon = horizon
        self._miss_rate = miss_rate
        self._series = MinuteSeries(first_minute, KEPT_MINUTES)
        self._ridge = Ridge(horizon)
        self._experts: tuple[Expert, ...] = (
            self._ridge,
            LastValue(),
            DayProfile(),
            Yesterday(),
        )
        self._bounds = [(Conformal(miss_rate), Conformal(miss_rate)) for _ in self._experts]
        self._mix = Mix(2 * len(self._experts), miss_rate)
        # A mean of bounds covers more than each of them: the mix needs its own correction.
        self._last_word = Conformal(miss_rate)
        self._said: deque[_Said | None] = deque(maxlen=horizon + 1)
        self.outlook = Outlook(miss_rate)
        self._covered: float | None = None
        self.latest: Forecast | None = None
        self._count = 0
        self._loss = 0.0
        self._last_value_loss = 0.0

    @classmethod
    def lived_through(
        cls, first_minute: int, works: Iterable[float], horizon: int, miss_rate: float
    ) -> Forecaster:
        """The forecaster that has seen ``works``, one a minute from ``first_minute``."""
        made = cls(first_minute, horizon, miss_rate)
        for work in works:
            made.observe(work)
        return made

    @property
    def next_minute(self) -> int:
        """Unix minute that ``observe`` takes next."""
        return self._series.minute + 1

    def observe(self, work: float) -> Forecast | None:
        """Close a minute (NaN: a gap) and say what is expected; None while nothing is known."""
        self._series.add(work, self.horizon)
        self._score()
        for expert in self._experts:
            expert.learn(self._series, self.horizon)
        self.outlook.observe(self._series, *self._ridge.newest)
        if not self._series.seen():
            self._said.append(None)
            return None
        self.latest = self._say()
        return self.latest

    def _say(self) -> Forecast:
        series = self._series
        day = max(series.mean(DAY), LEAST)
        expected = [expert.expect(series, self.horizon) for expert in self._experts]
        scales = [(max(value, LEAST), day) for value in expected]
        uppers: list[float] = []
        for value, pair, bounds in zip(expected, scales, self._bounds, strict=True):
            uppers += [b.upper(value, s) for b, s in zip(bounds, pair, strict=True)]
        weights = self._mix.weights()
        mixed = sum(w * u for w, u in zip(weights, uppers, strict=True))
        scale = max(mixed, LEAST)
        upper = self._last_word.upper(mixed, scale) if len(self._last_word) else mixed
        self._said.append(_Said(expected, scales, uppers, mixed, scale, upper, day))
        names = [expert.name for expert in self._experts]
        shares = {n: weights[2 * i] + weights[2 * i + 1] for i, n in enumerate(names)}
        return Forecast(
            horizon_minutes=self.horizon,
            last=series.mean(1),
            expected=sum(shares[n] * value for n, value in zip(names, expected, strict=True)),
            highest_expected=max(expected),
            upper=upper,
            coverage=self._covered,
            skill=1.0 - self._loss / self._last_value_loss if self._last_value_loss > 0 else None,
            weights=shares,
        )

    def _score(self) -> None:
        """Score what was said one horizon ago, now that its window has closed."""
        if len(self._said) <= self.horizon - 1:
            return
        said = self._said[-self.horizon]
        label = self._series.label(self.horizon)
        if said is None or math.isnan(label):
            return
        actual = math.exp(label)
        for i, bounds in enumerate(self._bounds):
            for copy, bound in enumerate(bounds):
                upper = said.uppers[2 * i + copy]
                bound.learn(actual, said.expected[i], said.scales[i][copy], upper)
        self._mix.learn(actual, said.uppers, said.size)
        self._last_word.learn(actual, said.mixed, said.mixed_scale, said.upper)
        held = 1.0 if actual <= said.upper else 0.0
        self._count += 1
        gain = max(_MEMORY, 1.0 / self._count)
        self._covered = held if self._covered is None else self._covered
        self._covered += gain * (held - self._covered)
        loss = pinball(actual, said.upper, self._miss_rate)
        baseline = pinball(actual, said.uppers[_LAST_VALUE], self._miss_rate)
        self._loss += gain * (loss - self._loss)
        self._last_value_loss += gain * (baseline - self._last_value_loss)
