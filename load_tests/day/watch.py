"""Looks at a fleet while its day goes by, and hears what its gateway and autoscaler say. IO."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping

import aiohttp

from autoscaler.observe.feed_demand import FeedDemand
from load_tests.day.record import Moment, Record, kv_and_waiting
from load_tests.day.shape import Day, offered_rps
from load_tests.day.site import Side
from load_tests.day.terms import MODEL, POOL, TTFT_OBJECTIVE_S
from loadstar.clock import Clock
from loadstar.feed.subscribe import Subscription
from loadstar.feed.trust import Trust
from loadstar.signals.model import Snapshot

EVERY_S = 0.5
ANSWER_SECONDS = 2.0
WINDOW_S = 1.0
PREFIX = "loadstar_autoscaler_"


class Ears:
    """The signals of one gateway: for the reactive controller, and for the view."""

    def __init__(self, address: str, rng: random.Random) -> None:
        self.demand = FeedDemand(window_s=WINDOW_S, stale_after_s=5.0)
        self.last: Snapshot | None = None
        self._subscription = Subscription(
            [address],
            trust=Trust(insecure_skip_verify=True),
            name="demo",
            heard=self._heard,
            rng=rng,
        )

    def _heard(self, snapshot: Snapshot) -> None:
        self.last = snapshot
        self.demand.heard(snapshot)

    async def run(self) -> None:
        """Until cancelled."""
        await self._subscription.run()


class Watch:
    """Adds a moment to ``record`` twice a second, for as long as ``run`` is not cancelled."""

    def __init__(
        self, side: Side, record: Record, day: Day, ears: Ears, clock: Clock, autoscaler_url: str
    ) -> None:
        """``autoscaler_url`` is its metrics page; "" for none."""
        self._side = side
        self._record = record
        self._day = day
        self._ears = ears
        self._clock = clock
        self._url = autoscaler_url

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                page = await self._page(session)
                if not math.isnan(self._record.began_at) and not self._record.ended:
                    self._record.moments.append(self._moment(page))
                await asyncio.sleep(EVERY_S)

    def _moment(self, page: str) -> Moment:
        state = self._side.fleet.state
        document = state.document(self._clock.now())
        pool = document["pools"][POOL]
        workload = document["workloads"][MODEL]
        has: Mapping[str, int] = workload["pools"][POOL]
        self._record.node_seconds = state.node_seconds
        heard = self._ears.demand.demand(
            MODEL, self._clock.wall(), slo_ttft_s=TTFT_OBJECTIVE_S
        ).arrivals_rps
        endpoints = () if self._ears.last is None else self._ears.last.endpoints
        kv_used, waiting = kv_and_waiting(endpoints)
        at_s = self._clock.now() - self._record.began_at
        upper, expected = forecast_rps(page)
        return Moment(
            at_s=at_s,
            offered_rps=offered_rps(self._day, at_s),
            arrivals_rps=math.nan if heard is None else heard,
            ready=has["ready"],
            starting=has["starting"],
            wanted=workload["replicas"],
            nodes=pool["ready"],
            nodes_wanted=pool["target"],
            kv_used=kv_used,
            waiting=waiting,
            upper_rps=upper,
            expected_rps=expected,
        )

    async def _page(self, session: aiohttp.ClientSession) -> str:
        if not self._url:
            return ""
        try:
            async with session.get(self._url) as answer:
                return await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return ""


def forecast_rps(page: str) -> tuple[float, float]:
    """The bound and the expectation of the autoscaler's metrics page, as requests a second.

    Its figures are work; what a request costs follows from the minute's work and its rate.
    """
    figures: dict[str, float] = {}
    rate = math.nan
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(f"{PREFIX}decision_figure{{"):
            figures[name.partition('figure="')[2].partition('"')[0]] = float(value)
        elif name.startswith(f"{PREFIX}demand_requests_per_second{{"):
            rate = float(value)
    work = figures.get("minute_work", 0.0)
    if not work > 0.0 or math.isnan(rate):
        return math.nan, math.nan
    a_work = rate / work
    return (
        figures.get("upper_work", math.nan) * a_work,
        figures.get("expected_work", math.nan) * a_work,
    )
