"""Seeded weeks with one trait each: what the targets and the tests ask of a controller.

Rates have a peak of about 1; scale them. Every week is 14 days unless told otherwise: the first
half to learn from. Pure; the generator is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from autoscaler.simulate.fluid import STEP_S
from loadstar.arrays import Floats

DAY_STEPS: Final = round(86400 / STEP_S)
HOUR_STEPS: Final = round(3600 / STEP_S)
MINUTE_STEPS: Final = round(60 / STEP_S)
BURST_CV: Final = 0.06
"""Variation of the arrivals of 5 s at a mid-size service: some hundred requests a second."""

Trait = Callable[[int, np.random.Generator], Floats]


def _steps(days: int) -> Floats:
    return np.asarray(np.arange(days * DAY_STEPS) * (STEP_S / 86400), dtype=np.float64)


def _day_and_week(days: int) -> Floats:
    """Office hours and a lighter weekend, smooth."""
    at = _steps(days)
    daily = (
        0.5 - 0.42 * np.cos(2 * np.pi * (at - 4 / 24)) + 0.08 * np.cos(4 * np.pi * (at - 14 / 24))
    )
    weekend = np.isin(at.astype(np.int64) % 7, (5, 6))
    return np.asarray(np.clip(daily, 0.08, None) * np.where(weekend, 0.6, 1.0))


def _wander(steps: int, rng: np.random.Generator, sigma: float, hours: float) -> Floats:
    """A stationary random walk of the logarithm, with a memory of ``hours``; at each minute."""
    minutes = steps // MINUTE_STEPS + 2
    keep = np.exp(-1 / (60 * hours))
    shocks = rng.normal(0.0, sigma * np.sqrt(1 - keep**2), minutes)
    path = np.empty(minutes)
    path[0] = rng.normal(0.0, sigma)
    for i in range(1, minutes):
        path[i] = keep * path[i - 1] + shocks[i]
    return np.asarray(np.interp(np.arange(steps) / MINUTE_STEPS, np.arange(minutes), path))


def _bursty(rates: Floats, rng: np.random.Generator, cv: float = BURST_CV) -> Floats:
    shape = 1.0 / cv**2
    return np.asarray(rates * rng.gamma(shape, 1.0 / shape, len(rates)))


def diurnal(days: int, rng: np.random.Generator) -> Floats:
    """Each day like the day before it, with some wandering."""
    base = _day_and_week(days)
    return _bursty(base * np.exp(_wander(len(base), rng, 0.05, 2.0)), rng)


def weekly(days: int, rng: np.random.Generator) -> Floats:
    """Mondays are twice a Saturday; days differ more than hours do."""
    base = _day_and_week(days)
    at = _steps(days)
    day_of_week = at.astype(np.int64) % 7
    level = np.array([1.0, 0.9, 0.85, 0.8, 0.9, 0.45, 0.4])[day_of_week]
    return _bursty(base * level * np.exp(_wander(len(base), rng, 0.06, 3.0)), rng)


def ramps(days: int, rng: np.random.Generator) -> Floats:
    """Something starts on every hour: +70 % within 5 minutes, gone after 25."""
    base = _day_and_week(days) * np.exp(_wander(days * DAY_STEPS, rng, 0.04, 2.0))
    phase = (np.arange(len(base)) % HOUR_STEPS) / MINUTE_STEPS
    up = np.interp(phase, [0, 5, 25, 30, 60], [0.0, 0.7, 0.7, 0.0, 0.0])
    return _bursty(base * (1 + up) / 1.7, rng)


def daily_step(days: int, rng: np.random.Generator) -> Floats:
    """From a quarter to full at nine each working day, in two minutes, and back at six."""
    at = _steps(days)
    hour = (at % 1) * 24
    up = np.interp(hour, [0, 9, 9 + 2 / 60, 18, 18 + 2 / 60, 24], [0.25, 0.25, 1, 1, 0.25, 0.25])
    weekend = np.isin(at.astype(np.int64) % 7, (5, 6))
    base = np.where(weekend, 0.25, up) * np.exp(_wander(len(at), rng, 0.04, 2.0))
    return _bursty(base, rng)


def flash(days: int, rng: np.random.Generator) -> Floats:
    """Once a day, nobody knows when, two to three and a half times the load within a minute."""
    base = _day_and_week(days) * np.exp(_wander(days * DAY_STEPS, rng, 0.05, 2.0))
    for day in range(days):
        start = day * DAY_STEPS + int(rng.integers(0, 23 * HOUR_STEPS))
        size = rng.uniform(1.0, 2.5)
        minutes = np.arange(90 * MINUTE_STEPS) / MINUTE_STEPS
        shape = np.interp(minutes, [0, 1, 30, 90], [0.0, 1.0, 1.0, 0.0])
        end = min(start + len(shape), len(base))
        base[start:end] *= 1 + size * shape[: end - start]
    return _bursty(base / 2.2, rng)


def regime(days: int, rng: np.random.Generator) -> Floats:
    """A new customer, +90 %, and later one lost, -35 %; in both halves."""
    base = _day_and_week(days) * np.exp(_wander(days * DAY_STEPS, rng, 0.05, 2.0))
    level = np.ones(len(base))
    for share, factor in ((0.15, 1.9), (0.35, 0.65), (0.62, 1.9), (0.85, 0.65)):
        level[int(share * len(base) + rng.integers(-HOUR_STEPS, HOUR_STEPS)) :] *= factor
    return _bursty(base * level / 2.2, rng)


def trend(days: int, rng: np.random.Generator) -> Floats:
    """Six percent more every day."""
    base = _day_and_week(days) * np.exp(_wander(days * DAY_STEPS, rng, 0.05, 2.0))
    return _bursty(base * 1.06 ** (_steps(days) - days), rng)


def unpredictable(days: int, rng: np.random.Generator) -> Floats:
    """No day at all: a wandering level that forgets within an hour."""
    return _bursty(0.45 * np.exp(_wander(days * DAY_STEPS, rng, 0.35, 1.0)), rng)


def small_fleet(days: int, rng: np.random.Generator) -> Floats:
    """A day for five replicas: few clients, so more wandering and coarser bursts."""
    base = _day_and_week(days) * np.exp(_wander(days * DAY_STEPS, rng, 0.12, 1.0))
    return _bursty(base, rng, 0.15)


WEEKS: Final[Mapping[str, Trait]] = MappingProxyType(
    {
        "diurnal": diurnal,
        "weekly": weekly,
        "ramps": ramps,
        "daily-step": daily_step,
        "flash": flash,
        "regime": regime,
        "trend": trend,
        "unpredictable": unpredictable,
        "small-fleet": small_fleet,
    }
)
