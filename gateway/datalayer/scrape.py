"""Keeps the datastore's columns up to date from the model servers' metrics pages.

One task per endpoint, so that a slow one delays only itself. When to scrape is decided by
``scrape_plan``, how to read a page by ``extract``, what becomes of it by the store; here are the
tasks, the clock and the log. Started by ``main``; it ends when cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gateway.config.data_sources import MetricsSource
from gateway.datalayer.extract.catalog import Engine, Engines
from gateway.datalayer.page_client import PageClient
from gateway.datalayer.page_response import Reason, ScrapeFailed
from gateway.datalayer.scrape_plan import (
    Pace,
    Plan,
    Result,
    after,
    begin,
    delay,
    first_delay,
    phase_seconds,
)
from gateway.datalayer.state import Columns, Endpoint
from gateway.datalayer.store import Datastore
from loadstar.aio import steps
from loadstar.aio.alarm import Alarm
from loadstar.clock import Clock

SOURCE = "metrics-data-source"
EXTRACTOR = "core-metrics-extractor"
TIMEOUT_SECONDS = 1.0
"""For one page, connection included."""
FAILURES_TOLD = 3
"""In a row before the log speaks of it; every one is counted."""
MOST_NAMES_NOTED = 100
ROUSE_SECONDS = 0.2
"""How soon one that rested is asked often again; until then our own account speaks for it."""

log = logging.getLogger(__name__)


class ScrapeCounts(Protocol):
    """Who counts: the gateway's metrics."""

    def scraped(self, seconds: float) -> None:
        """A page came, ``seconds`` after it was asked for."""
        ...

    def scrape_failed(self, source_type: str, reason: str) -> None:
        """No page came; ``reason`` is one of ``Reason``."""
        ...

    def extract_failed(self, source_type: str, extractor_type: str) -> None:
        """A page came without a signal that its engine should report."""
        ...


class NoCounts:
    """Counts nothing."""

    def scraped(self, seconds: float) -> None: ...

    def scrape_failed(self, source_type: str, reason: str) -> None: ...

    def extract_failed(self, source_type: str, extractor_type: str) -> None: ...


@dataclass(slots=True, eq=False)
class _Followed:
    """One endpoint, as the task that scrapes it sees it."""

    plan: Plan
    alarm: Alarm = field(default_factory=Alarm)
    inflight: tuple[int, int, int] = (0, 0, 0)
    """Our own counts for it when it was last scraped."""
    place: tuple[str, int] | None = None
    client: PageClient | None = None
    told_missing: set[tuple[str, ...]] = field(default_factory=set)
    """What its pages lacked, as far as the log has said so."""


class Scraper:
    """Scrapes every endpoint of ``store``; ``run`` it once."""

    def __init__(
        self,
        store: Datastore,
        engines: Engines,
        *,
        source: MetricsSource,
        pace: Pace,
        clock: Clock,
        rng: random.Random,
        tls: ssl.SSLContext | None = None,
        counts: ScrapeCounts | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._store = store
        self._engines = engines
        self._source = source
        self._pace = pace
        self._clock = clock
        self._rng = rng
        self._origin = steps.phase_seconds()
        self._tls = tls
        self._counts: ScrapeCounts = NoCounts() if counts is None else counts
        self._timeout = timeout
        self._by_slot: dict[int, _Followed] = {}
        self._asked_per_second = 0.0
        self._somebody_rests = asyncio.Event()
        self._unknown_engines: set[str] = set()

    def reconfigure(
        self, engines: Engines, source: MetricsSource, pace: Pace, tls: ssl.SSLContext | None
    ) -> None:
        """Scrape by these rules from each endpoint's next page on."""
        self._engines, self._source, self._pace, self._tls = engines, source, pace, tls
        for followed in self._by_slot.values():
            followed.place = None  # a page under way still comes, the next by a new connection

    async def run(self) -> None:
        """Follow the pool as it changes, until cancelled."""
        tasks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group, AsyncExitStack() as listening:

            def joined(endpoint: Endpoint) -> None:
                follow = self._follow(endpoint)
                tasks[endpoint.id] = group.create_task(follow, name=f"scrape {endpoint.id}")

            def left(endpoint: Endpoint) -> None:
                tasks.pop(endpoint.id).cancel()

            listening.callback(self._store.on_joined(joined))
            listening.callback(self._store.on_left(left))
            for endpoint in self._store.state.endpoints:
                joined(endpoint)
            await self._rouse_the_busy()

    async def _rouse_the_busy(self) -> None:
        """Scrape those that were resting when requests of ours reached them."""
        while True:
            # Where all are at work there is nobody to rouse; and of what a gateway at rest costs,
            # looking as often as pages may be read was half.
            await self._somebody_rests.wait()
            await steps.next_step(max(self._pace.busy, ROUSE_SECONDS))
            if not any(followed.plan.resting for followed in self._by_slot.values()):
                self._somebody_rests.clear()
            for slot in np.flatnonzero(self._store.columns.inflight_requests).tolist():
                followed = self._by_slot.get(slot)
                if followed is not None and followed.plan.resting:
                    followed.alarm.ring()

    async def _follow(self, endpoint: Endpoint) -> None:
        """Scrape one endpoint until it leaves (``left`` cancels this)."""
        followed = self._by_slot[endpoint.slot] = _Followed(begin(self._pace))
        self._asked_per_second += 1 / followed.plan.interval
        try:
            phase = phase_seconds(endpoint.slot, self._origin)
            pool_size = len(self._store.state.endpoints)
            await followed.alarm.sleep(first_delay(self._pace, pool_size, self._rng))
            while (current := self._store.endpoint(endpoint.namespace, endpoint.name)) is not None:
                result = await self._scrape(current, followed)
                self._asked_per_second -= 1 / followed.plan.interval
                followed.plan = after(followed.plan, result, self._pace)
                if followed.plan.resting:
                    self._somebody_rests.set()
                self._asked_per_second += 1 / followed.plan.interval
                crowding = self._asked_per_second / self._pace.per_second
                now = self._clock.now()
                await followed.alarm.sleep(
                    delay(followed.plan, self._pace, crowding, now, phase, self._rng)
                )
        finally:
            self._asked_per_second -= 1 / followed.plan.interval
            if followed.client is not None:
                followed.client.close()
            if self._by_slot.get(endpoint.slot) is followed:
                del self._by_slot[endpoint.slot]

    async def _scrape(self, endpoint: Endpoint, followed: _Followed) -> Result:
        """Fetch, read and store one page. Raises nothing: whatever happens is this one's alone."""
        asked_at = self._clock.now()
        try:
            async with asyncio.timeout(self._timeout):
                page = await self._client(endpoint, followed).fetch()
            self._counts.scraped(self._clock.now() - asked_at)
            return self._read(endpoint, followed, page, asked_at)
        except TimeoutError:
            failure = ScrapeFailed(Reason.TIMEOUT, f"no page within {self._timeout:g} s")
        except ScrapeFailed as error:
            failure = error
        except Exception as error:
            if not followed.plan.failures:
                log.exception("scraping %s failed inside the gateway", endpoint.id)
            failure = ScrapeFailed(Reason.INTERNAL, repr(error))
        self._counts.scrape_failed(SOURCE, failure.reason.value)
        if followed.plan.failures + 1 == FAILURES_TOLD:
            log.warning("metrics of %s do not come: %s", endpoint.id, failure)
        return Result(ok=False)

    def _client(self, endpoint: Endpoint, followed: _Followed) -> PageClient:
        place = endpoint.address, endpoint.metrics_port or self._source.port or endpoint.port
        if followed.client is None or followed.place != place:
            if followed.client is not None:
                followed.client.close()
            followed.place = place
            followed.client = PageClient(*place, self._source.path, self._tls)
        return followed.client

    def _read(
        self, endpoint: Endpoint, followed: _Followed, page: bytes, asked_at: float
    ) -> Result:
        engine = self._engines.choose(endpoint.labels)
        self._note_unknown(endpoint, engine)
        load = engine.extract(page)
        if followed.plan.failures >= FAILURES_TOLD and not load.silent:
            log.info("metrics of %s come again", endpoint.id)
        missing = engine.missing(load)
        if missing:
            self._counts.extract_failed(SOURCE, EXTRACTOR)
            if missing not in followed.told_missing:
                followed.told_missing.add(missing)
                log.warning(
                    "metrics of %s, read as %s, lack %s",
                    endpoint.id,
                    engine.name,
                    ", ".join(missing),
                )
        moved = self._store.observed(endpoint, load, asked_at)
        inflight = _inflight(self._store.columns, endpoint.slot)
        active = inflight[0] > 0 or inflight != followed.inflight
        followed.inflight = inflight
        return Result(not load.silent, moved, active, len(page))

    def _note_unknown(self, endpoint: Endpoint, engine: Engine) -> None:
        name = self._engines.named(endpoint.labels)
        if not name or name == engine.name or name in self._unknown_engines:
            return
        if len(self._unknown_engines) < MOST_NAMES_NOTED:
            self._unknown_engines.add(name)
            log.warning(
                "%s runs %r, an engine not known: read as %s", endpoint.id, name, engine.name
            )


def _inflight(columns: Columns, slot: int) -> tuple[int, int, int]:
    return (
        int(columns.inflight_requests[slot]),
        int(columns.inflight_tokens[slot]),
        int(columns.inflight_prefill[slot]),
    )
