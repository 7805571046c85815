"""What a fleet looks like from outside while it runs: its servers' metrics and its CPU, over time.

``parse`` is pure; ``Watch`` asks. Feeds the demo's live view and the plots of its report.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from load_tests.fleet import Fleet
from load_tests.measure import Sample
from loadstar.clock import Clock

EVERY_S = 0.5
ANSWER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ServerState:
    """What one model server's metrics page says; NaN is 'not said'."""

    waiting: float = math.nan
    running: float = math.nan
    kv_used: float = math.nan
    """0..1, of blocks held by requests."""
    prefix_hits: float = math.nan
    """Prompt tokens found in the prefix cache since the server started."""
    prefix_queries: float = math.nan
    """Prompt tokens looked up."""


SERIES = {
    "vllm:num_requests_waiting": "waiting",
    "vllm:num_requests_running": "running",
    "vllm:kv_cache_usage_perc": "kv_used",
    "vllm:prefix_cache_hits_total": "prefix_hits",
    "vllm:prefix_cache_queries_total": "prefix_queries",
}


def parse(page: str) -> ServerState:
    """The five series of a vLLM page that the view shows; each server has one engine."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        name = SERIES.get(line.partition("{")[0].partition(" ")[0])
        if name is not None:
            found[name] = float(line.rpartition(" ")[2])
    return ServerState(**found)


@dataclass(frozen=True, slots=True)
class Moment:
    """The fleet at one time."""

    at_s: float
    """Seconds since the watch began."""
    servers: Sequence[ServerState]
    cpu_s: Mapping[str, float]
    """CPU seconds by process since it started."""


@dataclass(slots=True)
class Run:
    """All that was seen of one policy's run."""

    name: str
    length_s: float
    servers: Sequence[str]
    """``host:port`` as in ``Sample.served_by``."""
    began_at: float = math.nan
    """``Clock.now()``; NaN until it runs."""
    ended: bool = False
    samples: list[Sample] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def hit_share(self, server: int) -> float:
        """Cached share of the prompt tokens that ``server`` was asked for during this run."""
        if not self.moments:
            return math.nan
        first, last = self.moments[0].servers[server], self.moments[-1].servers[server]
        asked = last.prefix_queries - first.prefix_queries
        return (last.prefix_hits - first.prefix_hits) / asked if asked > 0 else math.nan

    def cpu_share(self, process: str, over_s: float = 2.0) -> float:
        """Cores that ``process`` used during the last ``over_s``; NaN if it is not part."""
        if len(self.moments) < 2 or process not in self.moments[-1].cpu_s:
            return math.nan
        last = self.moments[-1]
        earlier = next(m for m in self.moments if m.at_s >= last.at_s - over_s)
        if earlier is last:
            earlier = self.moments[-2]
        return (last.cpu_s[process] - earlier.cpu_s[process]) / (last.at_s - earlier.at_s)


class Watch:
    """Fills a run's moments, twice a second, for as long as ``run`` is not cancelled."""

    def __init__(self, fleet: Fleet, run: Run, clock: Clock) -> None:
        self._fleet = fleet
        self._run = run
        self._clock = clock

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await self.look(session)
                await asyncio.sleep(EVERY_S)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Add one moment. A server that does not answer in time is NaN in it."""
        async with asyncio.TaskGroup() as asked:
            pages = [
                asked.create_task(self._state(session, f"http://{address.text}/metrics"))
                for address in self._fleet.servers.addresses
            ]
        cpu = {p.name: await p.cpu_seconds() for p in self._fleet.processes()}
        at = self._clock.now() - self._run.began_at
        self._run.moments.append(Moment(at, [page.result() for page in pages], cpu))

    async def _state(self, session: aiohttp.ClientSession, url: str) -> ServerState:
        try:
            async with session.get(url) as answer:
                return parse(await answer.text())
        except (aiohttp.ClientError, OSError, TimeoutError):
            return ServerState()
