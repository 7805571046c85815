"""Work by the minute with one trait each, seeded: what forecasts are tried on."""

from __future__ import annotations

import numpy as np

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.series import Floats
from autoscaler.forecast.types import Forecast

DAY = 1440


def noisy(base: Floats, seed: int, sigma: float = 0.03) -> Floats:
    rng = np.random.default_rng(seed)
    return np.asarray(base * np.exp(rng.normal(0.0, sigma, len(base))))


def diurnal(days: int) -> Floats:
    minutes = np.arange(days * DAY)
    return np.asarray(10.0 + 8.0 * np.sin(2 * np.pi * minutes / DAY))


def ramps(days: int) -> Floats:
    """On every hour, 70 % more within five minutes, for twenty."""
    past = np.arange(days * DAY) % 60
    up = np.interp(past, [0, 5, 25, 30, 60], [0.0, 0.7, 0.7, 0.0, 0.0])
    return np.asarray(diurnal(days) * (1 + up))


def random_walk(days: int, seed: int) -> Floats:
    """No moment tells anything of the next but where it starts."""
    rng = np.random.default_rng(seed)
    path = np.empty(days * DAY)
    path[0] = 0.0
    shocks = rng.normal(0.0, 0.03, len(path))
    for i in range(1, len(path)):
        path[i] = 0.999 * path[i - 1] + shocks[i]
    return np.asarray(10.0 * np.exp(path))


def said_of(works: Floats, horizon: int = 8, miss_rate: float = 0.07) -> list[Forecast | None]:
    forecaster = Forecaster(0, horizon, miss_rate)
    return [forecaster.observe(float(work)) for work in works]


def coverage(works: Floats, said: list[Forecast | None], horizon: int, from_minute: int) -> float:
    """Share of closed windows that stayed below what was said."""
    held = [
        works[i + 1 : i + 1 + horizon].max() <= each.upper
        for i, each in enumerate(said)
        if each is not None and i >= from_minute and i + horizon < len(works)
    ]
    return float(np.mean(held))
