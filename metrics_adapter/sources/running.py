"""All sources of a configuration, run and replaced as it changes. The rim of the store.

A source whose configuration stays the same runs on through a reload; what it has told stays.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Final

from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from loadstar.kube.client import Follows
from metrics_adapter.adapter_config import (
    AdapterConfig,
    AnySource,
    FeedSource,
    FileSource,
    PodsSource,
    PrometheusSource,
)
from metrics_adapter.query import Inventory
from metrics_adapter.sources.file import FileRows
from metrics_adapter.sources.kubernetes import Objects
from metrics_adapter.sources.pages import Pages
from metrics_adapter.sources.promql import Promql
from metrics_adapter.sources.source import Source
from metrics_adapter.store import Store

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 5.0
"""Before a source that failed in a way it did not know is started again."""


def build(config: AdapterConfig, clock: Clock, rng: random.Random) -> list[Source]:
    """One for each entry of ``sources``, in its order. Raises ConfigError."""
    return [_source(entry, clock, rng) for entry in config.sources]


def _source(entry: AnySource, clock: Clock, rng: random.Random) -> Source:
    try:
        return _made(entry, clock, rng)
    except ValueError as error:
        raise ConfigError.of("sources", f"{entry.type}: {error}") from error


def _made(entry: AnySource, clock: Clock, rng: random.Random) -> Source:
    match entry:
        case FileSource():
            return FileRows(entry, clock)
        case FeedSource():
            # Here, for grpc is 9 MB that an adapter without gateways need not hold.
            from metrics_adapter.sources.feed import Feed

            return Feed(entry, clock, random.Random(rng.random()))
        case PodsSource():
            return Pages(entry, clock)
        case PrometheusSource():
            return Promql(entry, clock)


class Sources:
    """What runs now. ``run`` owns every task."""

    def __init__(
        self,
        store: Store,
        config: AdapterConfig,
        client: Follows | None,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """Without a ``client`` nothing is known of objects. Raises ConfigError."""
        self._store = store
        self._clock = clock
        self._rng = rng
        self.objects = None if client is None else Objects(client, clock, rng)
        if self.objects is not None:
            # Nobody is known to exist before the API server has said so, whatever is told of them.
            store.know(Inventory(known=True))
        self._wanted = self._built(config, [])
        self._changed = asyncio.Event()

    @property
    def problems(self) -> Mapping[str, str]:
        """Name of each source that tells less than it should, and why."""
        every: list[Source] = [source for _, source in self._wanted]
        if self.objects is not None:
            every.append(self.objects)
        return {source.name: source.problem for source in every if source.problem}

    def reconfigure(self, config: AdapterConfig) -> None:
        """Have these sources from now on. Raises ConfigError, and changes nothing."""
        wanted = self._built(config, self._wanted)
        self._store.reconfigure(config)
        self._wanted = wanted
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self.objects is not None:
                tasks.create_task(self._kept(self.objects), name="kubernetes")
            running: dict[Source, asyncio.Task[None]] = {}
            while True:
                wanted = [source for _, source in self._wanted]
                for source in [source for source in running if source not in wanted]:
                    running.pop(source).cancel()
                for source in wanted:
                    if source not in running:
                        running[source] = tasks.create_task(self._kept(source), name=source.name)
                await self._changed.wait()
                self._changed.clear()

    async def _kept(self, source: Source) -> None:
        """One source's failure is not the others'."""
        while True:
            try:
                await source.run(self._store)
            except Exception:
                log.exception("the source %r failed and starts again", source.name)
            await asyncio.sleep(AGAIN_SECONDS)

    def _built(
        self, config: AdapterConfig, kept: Sequence[tuple[AnySource, Source]]
    ) -> list[tuple[AnySource, Source]]:
        left = list(kept)
        built: list[tuple[AnySource, Source]] = []
        for entry in config.sources:
            same = next((pair for pair in left if pair[0] == entry), None)
            if same is not None:
                left.remove(same)
            built.append(same or (entry, _source(entry, self._clock, self._rng)))
        return built
