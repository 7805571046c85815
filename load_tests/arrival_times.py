"""When requests come: endless ascending times, Poisson or clumped. Pure and seeded."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import TypeAlias

Times: TypeAlias = Iterator[float]
"""Endless ascending arrival times in seconds."""


def poisson(rate: float, rng: random.Random) -> Times:
    """Independent arrivals, ``rate`` per second."""
    return itertools.accumulate(rng.expovariate(rate) for _ in itertools.count())


def gamma(rate: float, cv: float, rng: random.Random) -> Times:
    """Gaps with coefficient of variation ``cv``: 1 is Poisson, above it arrivals clump."""
    shape, scale = 1 / cv**2, cv**2 / rate
    return itertools.accumulate(rng.gammavariate(shape, scale) for _ in itertools.count())


def bursts(rate: float, rng: random.Random, *, factor: float = 4.0, burst_s: float = 5.0) -> Times:
    """Poisson, but for exponential spells of mean ``burst_s`` it comes ``factor`` times as fast.

    Spells cover a fifth of the time; the mean over all time is ``rate``.
    """
    share = 0.2
    calm = rate / (1 - share + share * factor)
    now, bursting = 0.0, False
    until = rng.expovariate(share / (1 - share) / burst_s)
    while True:
        gap = rng.expovariate(calm * factor if bursting else calm)
        if now + gap < until:
            now += gap
            yield now
            continue
        # Memoryless: what is left of the gap is drawn anew at the new rate.
        now, bursting = until, not bursting
        mean = burst_s if bursting else burst_s * (1 - share) / share
        until = now + rng.expovariate(1 / mean)


def within(times: Times, seconds: float) -> list[float]:
    """The times before ``seconds``."""
    return list(itertools.takewhile(lambda at: at < seconds, times))
