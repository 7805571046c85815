"""One model's demand from what gateways publish: counters of many publishers, over one window.

Each publisher's counters are compared with its own of a window ago, so that one that restarts,
comes or goes spoils nothing. What no publisher says lately is not known. No IO: the subscription
calls ``heard``, the loop asks ``demand``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from autoscaler.observe.observation import Demand
from loadstar.signals.model import EndpointLoad, Histogram, PoolLoad, Snapshot

KEPT_WINDOWS = 6
IN_A_WINDOW = 6
"""Snapshots kept of one window: they come every second, and some are enough to find one ago."""
MAX_PUBLISHERS = 256

_ModelKey = tuple[str, str, str]


@dataclass(slots=True)
class _Publisher:
    """What one publisher said lately, oldest first."""

    started_at_s: float
    times: deque[float] = field(default_factory=deque)
    pools: deque[dict[_ModelKey, PoolLoad]] = field(default_factory=deque)
    endpoints: tuple[EndpointLoad, ...] = ()


@dataclass(slots=True)
class _Sums:
    """Growth over the window, added over publishers and pools; None until somebody says."""

    arrivals_rps: float | None = None
    served_rps: float | None = None
    queued: float | None = None
    lengths: dict[str, list[float]] = field(default_factory=dict)  # name -> [count, sum]
    cached: float = 0.0
    input: float | None = None
    late: float = 0.0
    timed: float = 0.0


class FeedDemand:
    """What is heard, and what it comes to."""

    def __init__(self, *, window_s: float = 15.0, stale_after_s: float = 45.0) -> None:
        self.window_s = window_s
        self.stale_after_s = stale_after_s
        self._publishers: OrderedDict[str, _Publisher] = OrderedDict()

    def heard(self, snapshot: Snapshot) -> None:
        """Take one snapshot; an older one than the last of its publisher is left out."""
        known = self._publishers.get(snapshot.publisher)
        if known is None:
            known = self._publishers[snapshot.publisher] = _Publisher(snapshot.started_at)
            if len(self._publishers) > MAX_PUBLISHERS:
                self._publishers.popitem(last=False)
        self._publishers.move_to_end(snapshot.publisher)
        at_s = snapshot.observed_at
        if known.times and at_s <= known.times[-1]:
            return
        if len(known.times) > 1 and at_s - known.times[-2] < self.window_s / IN_A_WINDOW:
            known.times.pop()
            known.pools.pop()
        known.times.append(at_s)
        known.pools.append({pool.key: pool for pool in snapshot.pools})
        known.endpoints = snapshot.endpoints
        while len(known.times) > 2 and at_s - known.times[0] > KEPT_WINDOWS * self.window_s:
            known.times.popleft()
            known.pools.popleft()

    def demand(self, model: str, now_s: float, *, slo_ttft_s: float, namespace: str = "") -> Demand:
        """What came in for ``model`` in the last window; ``now_s`` in Unix seconds."""
        sums = _Sums()
        pools: set[str] = set()
        for publisher in self._speaking(now_s):
            for key, last in publisher.pools[-1].items():
                if last.model == model and namespace in ("", last.namespace):
                    self._add(sums, publisher, key, last, slo_ttft_s)
                    pools.add(last.pool)
        waiting = [
            load.waiting
            for load in self.loads(now_s)
            if load.pool in pools and load.waiting is not None and self._is_fresh(load, now_s)
        ]
        return self._demand(sums, waiting)

    def loads(self, now_s: float) -> tuple[EndpointLoad, ...]:
        """What was last said of each endpoint by those that speak; it may be old."""
        freshest: dict[tuple[str, str, str, int], EndpointLoad] = {}
        for publisher in self._speaking(now_s):
            for load in publisher.endpoints:
                before = freshest.get(load.key)
                if before is None or (load.observed_at or 0.0) > (before.observed_at or 0.0):
                    freshest[load.key] = load
        return tuple(freshest.values())

    def _speaking(self, now_s: float) -> list[_Publisher]:
        """Publishers heard of lately, by name; one that is silent for long is forgotten."""
        found = []
        for name, publisher in sorted(self._publishers.items()):
            if publisher.times and now_s - publisher.times[-1] <= self.stale_after_s:
                found.append(publisher)
            elif publisher.times and now_s - publisher.times[-1] > 10 * self.stale_after_s:
                del self._publishers[name]
        return found

    def _is_fresh(self, load: EndpointLoad, now_s: float) -> bool:
        return load.observed_at is not None and now_s - load.observed_at <= self.stale_after_s

    def _demand(self, sums: _Sums, waiting: list[float]) -> Demand:
        if sums.arrivals_rps is None:
            return Demand(window_s=self.window_s, arrivals_rps=None)
        queued = sums.queued
        if waiting:
            queued = (queued or 0.0) + sum(waiting)
        return Demand(
            window_s=self.window_s,
            arrivals_rps=sums.arrivals_rps,
            input_tokens=_mean(sums.lengths.get("input_length")),
            output_tokens=_mean(sums.lengths.get("output_length")),
            prefix_hit=min(1.0, sums.cached / sums.input) if sums.input else None,
            queued_requests=queued,
            served_rps=sums.served_rps,
            violating=sums.late / sums.timed if sums.timed else None,
        )

    def _add(
        self,
        sums: _Sums,
        publisher: _Publisher,
        key: _ModelKey,
        last: PoolLoad,
        slo_ttft_s: float,
    ) -> None:
        then_s, before = self._before(publisher, key)
        seconds = publisher.times[-1] - then_s
        if seconds <= 0.0:
            return

        def growth(name: str) -> float | None:
            now = last.counters.get(name)
            was = 0.0 if before is None else before.counters.get(name, 0.0)
            return None if now is None else max(0.0, now - was)

        arrived = growth("arrivals")
        if arrived is not None:
            sums.arrivals_rps = (sums.arrivals_rps or 0.0) + arrived / seconds
        if last.queued is not None:
            sums.queued = (sums.queued or 0.0) + last.queued
        asked, cached = growth("input_tokens"), growth("cached_tokens")
        if asked is not None and cached is not None:
            sums.input = (sums.input or 0.0) + asked
            sums.cached += cached
        followed = last.followed_share or 1.0
        for name in ("input_length", "output_length", "e2e", "ttft"):
            grown = _grown(
                last.histograms.get(name),
                None if before is None else before.histograms.get(name),
            )
            if grown is None:
                continue
            count = sum(grown.counts)
            if name == "e2e":
                sums.served_rps = (sums.served_rps or 0.0) + count / followed / seconds
            elif name == "ttft":
                sums.timed += count
                sums.late += _beyond(grown, slo_ttft_s)
            else:
                total = sums.lengths.setdefault(name, [0.0, 0.0])
                total[0] += count
                total[1] += grown.sum

    def _before(self, publisher: _Publisher, key: _ModelKey) -> tuple[float, PoolLoad | None]:
        """The time and counters of a window ago; None for zeros at the publisher's own start."""
        wanted_s = publisher.times[-1] - self.window_s
        if publisher.started_at_s >= wanted_s:
            return publisher.started_at_s, None
        index = bisect_right(publisher.times, wanted_s) - 1
        if index < 0:
            # Heard for less than a window, though it is older: over what there is.
            index = 0
        # A model that was not there then had counters of zero.
        return publisher.times[index], publisher.pools[index].get(key)


def _grown(now: Histogram | None, before: Histogram | None) -> Histogram | None:
    if now is None:
        return None
    if before is None or before.bounds != now.bounds:
        return now if before is None else None
    counts = tuple(max(0.0, n - b) for n, b in zip(now.counts, before.counts, strict=True))
    return Histogram(now.bounds, counts, max(0.0, now.sum - before.sum))


def _beyond(histogram: Histogram, bound: float) -> float:
    """How many observations are above ``bound``; within a bucket they lie evenly."""
    late = 0.0
    low = 0.0
    for high, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        if low >= bound:
            late += count
        elif high > bound and high != float("inf"):
            late += count * (high - bound) / (high - low)
        elif high > bound:
            late += count
        low = high
    return late


def _mean(total: Iterable[float] | None) -> float | None:
    if total is None:
        return None
    count, sum_ = total
    return sum_ / count if count else None
