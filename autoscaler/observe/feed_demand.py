"""One model's demand from what gateways publish: counters of many publishers, over one window.

Each publisher's counters are compared with its own of a window ago, so that one that restarts,
comes or goes spoils nothing. What no publisher says lately is not known. No IO: the subscription
calls ``heard``, the loop asks ``demand``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autoscaler.observe.observation import Demand
from loadstar.signals.growth import Growth, Span
from loadstar.signals.model import EndpointLoad, Histogram, PoolLoad, Snapshot

MAX_PUBLISHERS = 256

_ModelKey = tuple[str, str, str]
_Loads = Mapping[_ModelKey, PoolLoad]


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
        self._growth: Growth[_Loads] = Growth(window_s)
        self._newest: OrderedDict[str, Snapshot] = OrderedDict()
        """By publisher; who was heard of last is last."""

    def heard(self, snapshot: Snapshot) -> None:
        """Take one snapshot; an older one than the last of its publisher is left out."""
        name = snapshot.publisher
        known = self._newest.setdefault(name, snapshot)
        self._newest.move_to_end(name)
        if len(self._newest) > MAX_PUBLISHERS:
            self._newest.popitem(last=False)
            self._growth.keep(self._newest)
        if known is snapshot or known.observed_at < snapshot.observed_at:
            self._newest[name] = snapshot
            self._growth.add(snapshot, {pool.key: pool for pool in snapshot.pools})

    def demand(self, model: str, now_s: float, *, slo_ttft_s: float, namespace: str = "") -> Demand:
        """What came in for ``model`` in the last window; ``now_s`` in Unix seconds."""
        sums = _Sums()
        pools: set[str] = set()
        spans = self._growth.spans()
        for snapshot in self._speaking(now_s):
            span = spans[snapshot.publisher]
            for last in span.newest.values.values():
                if last.model == model and namespace in ("", last.namespace):
                    _add(sums, span, last, slo_ttft_s)
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
        for snapshot in self._speaking(now_s):
            for load in snapshot.endpoints:
                before = freshest.get(load.key)
                if before is None or (load.observed_at or 0.0) > (before.observed_at or 0.0):
                    freshest[load.key] = load
        return tuple(freshest.values())

    def _speaking(self, now_s: float) -> list[Snapshot]:
        """The last words of those heard of lately, by name; the silent are forgotten in time."""
        silent_s = {name: now_s - last.observed_at for name, last in self._newest.items()}
        for name, seconds in silent_s.items():
            if seconds > 10 * self.stale_after_s:
                del self._newest[name]
        self._growth.keep(self._newest)
        names = sorted(name for name in self._newest if silent_s[name] <= self.stale_after_s)
        return [self._newest[name] for name in names]

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


def _add(sums: _Sums, span: Span[_Loads], last: PoolLoad, slo_ttft_s: float) -> None:
    """Add what ``last`` grew by within ``span``, its publisher's window."""
    seconds = span.seconds
    if seconds <= 0.0:
        return
    # A model that was not there then had counters of zero.
    before = None if span.base is None else span.base.values.get(last.key)
    arrived = last.counted("arrivals", before)
    if arrived is not None:
        sums.arrivals_rps = (sums.arrivals_rps or 0.0) + arrived / seconds
    if last.queued is not None:
        sums.queued = (sums.queued or 0.0) + last.queued
    asked, cached = last.counted("input_tokens", before), last.counted("cached_tokens", before)
    if asked is not None and cached is not None:
        sums.input = (sums.input or 0.0) + asked
        sums.cached += cached
    followed = last.followed_share or 1.0
    for name in ("input_length", "output_length", "e2e", "ttft"):
        histogram = last.histograms.get(name)
        if histogram is None:
            continue
        grown = histogram.since(None if before is None else before.histograms.get(name))
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
