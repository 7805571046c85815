"""When an endpoint is scraped next: often while its numbers move, seldom while they stand still.

Pure: results and chance come in, intervals and delays come out. ``scrape`` keeps the time.

A page costs about as much CPU as a routed request, so reading every page twenty times a second
costs most where it tells least. What has just been read loses its worth as requests come and go;
an endpoint whose numbers repeated themselves is asked half as often each time, down to a floor that
still keeps its numbers believed. So is one that has requests of ours: a server that works shows it
from one step to the next, and until it does our own account speaks for it.

Endpoints are asked in cohorts, at common points of time: a process that wakes for one page alone
finds its caches cold, and pays for the waking two to four times what the page costs.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from loadstar.aio.steps import GOLDEN, ahead_seconds

BACKOFF = 2.0
JITTER = 0.1
"""Share by which a delay varies in a crowd, so that cohorts do not fall into step."""
COHORT = 8
"""Endpoints asked together: a millisecond of reading, for which a request may have to wait."""
IDLE_SECONDS = 0.8
FRESH_SHARE = 0.4
"""Of the staleness threshold: the longest time between two scrapes of a healthy endpoint. With
jitter and the scrape itself it stays below the half up to which numbers are fully believed."""
DEAD_SECONDS = 2.0
SCRAPES_PER_SECOND = 800.0
"""What one process may spend on scraping: about a tenth of a core."""
PAGE_BYTES_PER_SECOND = 4 << 20
"""Of one endpoint, or up to twice that: a page of 52 KB may come as often as anybody likes, one of
8 MiB may not."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds of the interval between two scrapes of one endpoint, in seconds."""

    busy: float
    """While its numbers move, and when it has begun to work."""
    idle: float
    """At most, while nothing happens."""
    ceiling: float
    """At most, however many endpoints share the budget."""
    dead: float
    """At most, while it does not answer."""
    per_second: float = SCRAPES_PER_SECOND
    """Scrapes of all endpoints together, as far as ``ceiling`` allows."""


def pace(refresh_interval: float, staleness_threshold: float, interval: float = 0.0) -> Pace:
    """The bounds that follow from ``--refresh-metrics-interval`` and the staleness threshold.

    ``interval`` is that of ``metrics-data-source``, where one is configured: the longer of the
    two counts, at the operator's risk even beyond the threshold.
    """
    busy = max(refresh_interval, interval)
    ceiling = max(busy, FRESH_SHARE * staleness_threshold)
    return Pace(
        busy=busy,
        idle=max(busy, min(IDLE_SECONDS, ceiling)),
        ceiling=ceiling,
        dead=max(DEAD_SECONDS, ceiling),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """How one endpoint is being scraped."""

    interval: float
    failures: int = 0
    """In a row."""
    resting: bool = False
    """Asked seldom because nothing happens: a request of ours ends that at once."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one scrape showed."""

    ok: bool
    moved: bool = False
    """Its numbers differ from those before."""
    active: bool = False
    """It has requests of ours, or had some since the last scrape."""
    page_bytes: int = 0


def begin(pace: Pace) -> Plan:
    """For an endpoint that has just come: nothing is known of it."""
    return Plan(pace.busy)


def after(plan: Plan, result: Result, pace: Pace) -> Plan:
    """How to go on after ``result``."""
    if not result.ok:
        interval = pace.busy * BACKOFF ** min(plan.failures + 1, 16)
        return Plan(min(interval, pace.dead), plan.failures + 1)
    busy = max(pace.busy, min(result.page_bytes / PAGE_BYTES_PER_SECOND, pace.ceiling))
    if result.moved or plan.failures or (result.active and plan.resting):
        return Plan(busy)
    interval = max(busy, min(plan.interval * BACKOFF, pace.idle))
    return Plan(interval, resting=not result.active)


def first_delay(pace: Pace, endpoints: int, rng: random.Random) -> float:
    """Seconds before the first scrape: soon, but not all in the same moment."""
    return rng.uniform(0.0, min(endpoints / pace.per_second, pace.ceiling))


def phase_seconds(slot: int, origin: float) -> float:
    """Where the steps of the endpoint in ``slot`` begin; ``origin`` is this process's own, 0..1."""
    return (origin + slot // COHORT * GOLDEN) % 1.0


def delay(
    plan: Plan, pace: Pace, crowding: float, now: float, phase: float, rng: random.Random
) -> float:
    """Seconds from ``now`` until the next scrape.

    It falls on a multiple of a step, counted from ``phase``: the greatest ``pace.busy * 2**k`` that
    is no longer than the plan's interval, so that the steps of a cohort's slow and fast coincide.

    ``crowding`` is the rate that all plans ask for over the rate there is. Above 1 every interval
    is stretched by it, but no further than ``ceiling``: freshness goes before the budget. Then
    the process never rests, and there are no steps to keep.
    """
    if crowding > 1.0:
        stretched = min(plan.interval * crowding, max(plan.interval, pace.ceiling))
        return stretched * rng.uniform(1.0 - JITTER, 1.0 + JITTER)
    doublings = math.floor(math.log2(max(plan.interval / pace.busy, 1.0)))
    return ahead_seconds(pace.busy * 2.0**doublings, now, phase)
