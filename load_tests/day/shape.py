"""A day of demand, compressed: its curve, the days before it, and the requests that stand for it.

Time is compressed and requests are thinned by the same factor: a second of ours is minutes of the
day, and one request is sent where the day would have hundreds. What is left is a rate a second, the
same in both, and requests that take as long as they take. Pure and seeded.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Final

import numpy as np

from autoscaler.observe.history import History
from load_tests.workload import Arrival, Block, Message
from loadstar.arrays import Floats

MINUTES: Final = 1440
DAY_S: Final = 86_400.0
HOURS: Final = (0, 5, 7, 8.75, 9.1, 11, 12.5, 14, 14.98, 15.02, 15.9, 16.1, 18, 20, 22, 24)
LEVELS: Final = (13, 10, 20, 38, 75, 80, 62, 72, 72, 100, 100, 68, 62, 42, 24, 13)
"""Percent of the peak: people arrive at nine, and a job runs from three to four."""
LEVEL_SIGMA: Final = 0.05
"""How much one day differs from another as a whole, as the sigma of a logarithm."""
WANDER_SIGMA: Final = 0.04
WANDER_HOURS: Final = 2.0
JITTER: Final = 0.3
"""Of a gap, how far a request may be from its even place. The thousands that it stands for would
come evenly; a few a second by chance would not, and that chance would not be the day's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What is sent, and how fast the day goes by."""

    factor: float = 360.0
    """Seconds of the day in one of ours: a whole day is four minutes."""
    from_h: float = 0.0
    to_h: float = 24.0
    peak_rps: float = 20.0
    input_tokens: int = 900
    output_tokens: int = 8
    days_before: int = 7
    run_in_s: float = 8.0
    """Real seconds of demand before the day is counted: caches warm, forecasts begin."""
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.from_h < self.to_h <= 24:
            raise ValueError(f"{self.from_h:g} to {self.to_h:g} are no hours of a day")

    @property
    def seconds(self) -> float:
        """Real seconds, without the run-in."""
        return (self.to_h - self.from_h) * 3600.0 / self.factor

    def hour(self, real_s: float) -> float:
        """The hour of the day ``real_s`` after its beginning."""
        return self.from_h + real_s * self.factor / 3600.0

    def rng(self, day: int) -> np.random.Generator:
        """Of one day; 0 is the one that is shown."""
        return np.random.default_rng((self.seed, day))


def curve(minute: Floats) -> Floats:
    """The share of the peak at each minute of a day, before chance."""
    return np.asarray(np.interp(np.mod(minute, MINUTES) / 60.0, HOURS, LEVELS) / 100.0)


def rates(day: Day, number: int) -> Floats:
    """Requests a second at each minute of the day ``number`` days before the one shown."""
    rng = day.rng(number)
    keep = np.exp(-1.0 / (60.0 * WANDER_HOURS))
    shocks = rng.normal(0.0, WANDER_SIGMA * np.sqrt(1.0 - keep**2), MINUTES)
    wander = np.fromiter(
        itertools.accumulate(shocks, lambda at, shock: keep * at + shock), np.float64, MINUTES
    )
    level = rng.normal(0.0, LEVEL_SIGMA)
    return np.asarray(
        day.peak_rps * curve(np.arange(MINUTES, dtype=np.float64)) * np.exp(wander + level)
    )


def history(day: Day, midnight_s: float) -> History:
    """The days before, as the controller would have heard them, up to the run-in."""
    made = History()
    days = np.concatenate([rates(day, number) for number in range(day.days_before, -1, -1)])
    begins = day.from_h * 60.0 - day.run_in_s * day.factor / 60.0  # minutes from midnight
    series = days[: day.days_before * MINUTES + round(begins)]
    first_s = midnight_s - day.days_before * DAY_S
    for minute, rate in enumerate(_smoothed(series, day.factor)):
        made.add(first_s + 60.0 * (minute + 1), float(rate), day.input_tokens, day.output_tokens)
    return made


def _smoothed(series: Floats, factor: float) -> Floats:
    """The mean over the last real second, as rates are heard in compressed time."""
    width = max(1, round(factor / 60.0))
    padded = np.concatenate([np.full(width - 1, series[0]), series])
    return np.asarray(np.convolve(padded, np.full(width, 1.0 / width), mode="valid"))


def arrivals(day: Day) -> list[Arrival]:
    """The requests of the run-in (as warm-up) and of the day, in real seconds from the former."""
    rng = random.Random(day.seed)
    times = _times(day, rng)
    return [
        Arrival(
            at_s=at_s,
            # No two begin alike: prefixes are the first act's subject.
            messages=(Message("user", (Block(1 << 62 | rng.getrandbits(62), day.input_tokens),)),),
            output_tokens=day.output_tokens,
            group=-1,
            warmup=at_s < day.run_in_s,
        )
        for at_s in times
    ]


def _times(day: Day, rng: random.Random) -> list[float]:
    """Real seconds, at which the integral of the rate passes each whole number."""
    step_s = 60.0 / day.factor
    first_minute = day.from_h * 60.0 - day.run_in_s / step_s
    steps = round((day.run_in_s + day.seconds) / step_s)
    minutes = (np.floor(first_minute) + np.arange(steps)).astype(np.int64)
    yesterday, today = rates(day, 1), rates(day, 0)
    level = np.where(minutes < 0, yesterday[minutes % MINUTES], today[minutes % MINUTES])
    total = np.concatenate([[0.0], np.cumsum(level) * step_s])
    whole = np.arange(1, int(total[-1]) + 1, dtype=np.float64)
    jitter = np.array([rng.uniform(-JITTER, JITTER) for _ in whole])
    at = np.interp(np.clip(whole + jitter, 0.0, total[-1]), total, np.arange(steps + 1) * step_s)
    return [float(each) for each in np.sort(at)]


def offered_rps(day: Day, real_s: float) -> float:
    """Requests a second at ``real_s`` after the day's beginning."""
    minute = int(day.hour(real_s) * 60.0)
    number = 1 if minute < 0 else 0
    return float(rates(day, number)[minute % MINUTES])
