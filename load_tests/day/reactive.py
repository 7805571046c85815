"""The other controller: an HPA on arrivals by its exact arithmetic, and nodes that follow its pods.

It knows what the forecast knows of a replica, hears the same signals at the same moment, and
answers to what is there now. ``Reactive`` decides; ``follow`` acts on the fleet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from autoscaler.actuate.providers.local import LocalFleet
from autoscaler.errors import ProviderError
from autoscaler.observe.feed_demand import FeedDemand
from autoscaler.simulate.hpa import total_average
from autoscaler.simulate.hpa_behavior import Bounds, Hpa
from load_tests.day.terms import MODEL, POOL, TTFT_OBJECTIVE_S, Terms
from loadstar.clock import Clock

EVERY_S: Final = 0.1
"""Real seconds between two syncs: half a minute of the day, where a real HPA takes a quarter."""
UNNEEDED_S: Final = 600.0
"""How long the cluster autoscaler leaves a node that nobody needs, by its default."""


@dataclass(slots=True)
class Reactive:
    """Sizes by what arrives now; seconds are the day's."""

    terms: Terms
    replicas: int
    _hpa: Hpa = field(default_factory=Hpa)
    _nodes: deque[tuple[float, int]] = field(default_factory=deque)

    def sync(self, now_s: float, arrivals_rps: float | None) -> tuple[int, int]:
        """Replicas and nodes to have; arrivals that are not known change nothing."""
        terms = self.terms
        milli = None if arrivals_rps is None else arrivals_rps * 1000.0
        proposal = total_average(milli, terms.target_rps * 1000.0, self.replicas)
        bounds = Bounds(terms.least, terms.most)
        self.replicas = self._hpa.sync(now_s, self.replicas, bounds, [proposal])
        self._nodes.append((now_s, self.replicas))
        while now_s - self._nodes[0][0] > UNNEEDED_S:
            self._nodes.popleft()
        return self.replicas, max(count for _, count in self._nodes)


async def follow(
    reactive: Reactive,
    heard: FeedDemand,
    fleet: LocalFleet,
    machine: Clock,
    day_s: Callable[[], float],
) -> None:
    """Sync and act until cancelled; a call that fails is made again at the next sync."""
    asked: tuple[int, int] | None = None
    while True:
        demand = heard.demand(MODEL, machine.wall(), slo_ttft_s=TTFT_OBJECTIVE_S)
        sizes = reactive.sync(day_s(), demand.arrivals_rps)
        if sizes != asked:
            with contextlib.suppress(ProviderError):
                await fleet.set_nodes(POOL, sizes[1])
                await fleet.set_replicas(MODEL, sizes[0])
                asked = sizes
        await asyncio.sleep(EVERY_S)
