"""A source that listens to gateways and autoscalers: SignalFeed. IO at its edge.

Each publisher says once a second all that it knows; what is published here is made of the latest of
each. A publisher that falls silent is left out of sums at once, but what model servers said of
themselves stays until it is too old.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

from loadstar.clock import Clock
from loadstar.feed.subscribe import Subscription
from loadstar.feed.trust import Trust
from loadstar.signals.merge import Knowledge, current, known, merge
from loadstar.signals.model import Snapshot
from metrics_adapter.adapter_config import FeedSource
from metrics_adapter.query import Published
from metrics_adapter.sources.feed_columns import (
    Columns,
    Traffic,
    endpoint_columns,
    wish_columns,
    without_picks,
)
from metrics_adapter.store import Slot, Store, TooMuch

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 10.0
"""Ten snapshots missed: whatever it counted goes on elsewhere, if at all."""
BUSY_SHARE: Final = 0.1
"""Of one core, at most, however many endpoints there are."""
NAME: Final = "loadstar-metrics-adapter"


class Feed:
    """Keeps what is published in step with every replica behind the configured addresses."""

    def __init__(self, config: FeedSource, clock: Clock, rng: random.Random) -> None:
        self.name = f"feed {', '.join(config.addresses)}"
        self._clock = clock
        self._knowledge = Knowledge()
        self._traffic: Traffic | None = None
        self._windows: frozenset[float] = frozenset()
        self._pools: Columns = {}
        self._changed = False
        self._subscription = Subscription(
            config.addresses,
            trust=Trust(
                plaintext=config.plaintext,
                insecure_skip_verify=config.insecure_skip_verify,
                ca_file=config.ca_file,
                server_name=config.server_name,
                token_file=config.token_file,
            ),
            name=NAME,
            heard=self.heard,
            rng=rng,
            resolve_seconds=config.resolve_interval,
        )

    @property
    def problem(self) -> str:
        """Which publishers are not heard, and why."""
        problems = self._subscription.problems
        return "; ".join(f"{where}: {why}" for where, why in sorted(problems.items(), key=str))

    def heard(self, snapshot: Snapshot) -> None:
        """Take over what a publisher says."""
        self._knowledge = merge(self._knowledge, known(snapshot))
        if self._traffic is not None:
            self._traffic.add(snapshot)
        self._changed = True

    async def run(self, store: Store) -> None:
        """Publish to ``store`` until cancelled."""
        with store.slot(self.name) as slot:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._subscription.run(), name=self.name)
                while True:
                    began = self._clock.now()
                    self.publish(store, slot)
                    took = self._clock.now() - began
                    await asyncio.sleep(max(EVERY_SECONDS, took / BUSY_SHARE))

    def publish(self, store: Store, slot: Slot) -> None:
        """Tell what is known now, if that is anything new."""
        view = store.view()
        metrics = [metric for metric in view.catalog.entries if metric.entry.feed]
        windows = frozenset(metric.entry.window for metric in metrics)
        if self._traffic is None or windows != self._windows:
            self._traffic, self._windows = Traffic(windows), windows
            for snapshot in self._knowledge.snapshots:
                self._traffic.add(snapshot)
        if not self._changed:
            return
        self._changed = False
        now = self._clock.wall()
        self._knowledge = current(self._knowledge, now, view.staleness)
        snapshots = self._knowledge.snapshots
        speaking = current(self._knowledge, now, SILENT_SECONDS).snapshots
        names = frozenset(snapshot.publisher for snapshot in speaking)
        self._traffic.keep(names)
        # With nobody left to speak, what was last said stays until it is too old.
        self._pools = self._traffic.columns(speaking, metrics) or self._pools
        told = [each if each.publisher in names else without_picks(each) for each in snapshots]
        columns: Columns = {}
        for part in (
            endpoint_columns(told, metrics),
            self._pools,
            wish_columns(snapshots, metrics),
        ):
            for key, found in part.items():
                columns[key] = (*columns.get(key, ()), *found)
        try:
            slot.publish(Published(columns), now)
        except TooMuch as error:
            log.error("signals are not all kept: %s", error)
