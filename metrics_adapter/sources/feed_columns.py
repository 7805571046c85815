"""What gateways and autoscalers said -> columns. Pure but for the memory of ``Traffic``.

Endpoints become rows of pods, traffic rows of pools, one for each model; an autoscaler's wishes
rows of the workloads that they are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from loadstar.kube.resources import INFERENCE_POOLS, PODS, Resource
from loadstar.signals.growth import Growth, Span
from loadstar.signals.merge import endpoints
from loadstar.signals.model import COUNTERS, FOLLOWED, OWN, SCRAPED, PoolLoad, Snapshot
from metrics_adapter.adapter_config import Kind
from metrics_adapter.catalog import Metric, resource_of, with_model
from metrics_adapter.query import Column, Row, column
from metrics_adapter.query.columns import NO_WINDOW, objects
from metrics_adapter.query.inventory import Key

LEAST_SPAN_SECONDS: Final = 4.0
"""A rate over less says more about when the two readings were taken."""
ENDPOINT_FIELDS: Final = frozenset({*SCRAPED, *OWN})
POOL_GAUGES: Final = frozenset({"queued", "running"})
_WISH_OF: Final[Mapping[str, str]] = {
    "desired_replicas": "replicas",
    "forecast_requests_per_second": "forecast_requests_per_second",
}

PoolKey = tuple[str, str, str]
Loads = Mapping[PoolKey, PoolLoad]
Columns = dict[tuple[str, str], tuple[Column, ...]]


def without_picks(snapshot: Snapshot) -> Snapshot:
    """``snapshot`` less what only its publisher, who is silent, could take back."""
    kept = (
        replace(load, inflight_requests=None, inflight_tokens=None) for load in snapshot.endpoints
    )
    return replace(snapshot, endpoints=tuple(kept))


def endpoint_columns(snapshots: Sequence[Snapshot], metrics: Iterable[Metric]) -> Columns:
    """A row for each endpoint: what its page said, and everybody's picks of it together."""
    loads = endpoints(snapshots)
    told_at = max((snapshot.observed_at for snapshot in snapshots), default=0.0)
    index: dict[Key, int] = {}
    uids: list[str] = []
    pools: dict[str, int] = {}
    rows = np.empty(len(loads), np.int32)
    labels = np.empty(len(loads), np.int32)
    for position, load in enumerate(loads):
        key = load.namespace, load.name
        if key not in index:
            index[key] = len(index)
            uids.append(load.uid)
        rows[position] = index[key]
        labels[position] = pools.setdefault(load.pool, len(pools))
    about = objects(PODS, tuple(index), uids)
    shown = tuple({"pool": pool} if pool else {} for pool in pools)
    read_at = np.array(
        [-np.inf if load.observed_at is None else load.observed_at for load in loads]
    )
    found: Columns = {}
    for metric in metrics:
        field = metric.entry.feed
        if field not in ENDPOINT_FIELDS:
            continue
        numbers = [getattr(load, field) for load in loads]
        value = np.array([np.nan if n is None else n for n in numbers], np.float64)
        if np.isnan(value).all():
            continue
        at = np.full(len(loads), told_at) if field in OWN else read_at
        found[str(PODS), metric.entry.name] = (
            Column(
                about,
                rows,
                labels,
                shown,
                value * metric.entry.scale,
                at,
                np.full(len(loads), NO_WINDOW, np.int32),
            ),
        )
    return found


class Traffic:
    """Counters of every publisher, as far back as the widest window of a metric reaches."""

    def __init__(self, windows: Iterable[float]) -> None:
        self._growth: dict[float, Growth[Loads]] = {
            window: Growth(window) for window in sorted(set(windows))
        }

    def add(self, snapshot: Snapshot) -> None:
        """Note what ``snapshot`` counts."""
        loads = {load.key: load for load in snapshot.pools}
        for growth in self._growth.values():
            growth.add(snapshot, loads)

    def keep(self, publishers: frozenset[str]) -> None:
        """Forget all others."""
        for growth in self._growth.values():
            growth.keep(publishers)

    def columns(self, snapshots: Sequence[Snapshot], metrics: Iterable[Metric]) -> Columns:
        """A row for each pool and model: sums over the publishers of ``snapshots``."""
        found: Columns = {}
        if not snapshots:
            return found
        at = min(snapshot.observed_at for snapshot in snapshots)
        for metric in metrics:
            entry = metric.entry
            growth = self._growth.get(entry.window)
            made: Column | None = None
            if entry.feed in POOL_GAUGES and entry.kind is Kind.GAUGE:
                made = _gauges(snapshots, metric, at)
            elif entry.feed in COUNTERS and growth is not None:
                made = _rates(growth.spans(), metric, at)
            elif entry.kind is Kind.LATENCY and growth is not None:
                made = _latencies(growth.spans(), metric, at)
            if made is not None:
                found[str(INFERENCE_POOLS), entry.name] = (made,)
        return found


@dataclass(slots=True)
class _Sum:
    value: float = 0.0
    seconds: float = 0.0


def _gauges(snapshots: Sequence[Snapshot], metric: Metric, at: float) -> Column | None:
    sums: dict[PoolKey, float] = {}
    for snapshot in snapshots:
        for load in snapshot.pools:
            value = load.queued if metric.entry.feed == "queued" else load.running
            if value is not None:
                sums[load.key] = sums.get(load.key, 0.0) + value
    rows = [_row(key, value * metric.entry.scale, at, NO_WINDOW) for key, value in sums.items()]
    return column(INFERENCE_POOLS, rows) if rows else None


def _rates(spans: Mapping[str, Span[Loads]], metric: Metric, at: float) -> Column | None:
    name = metric.entry.feed
    sums: dict[PoolKey, _Sum] = {}
    for span in spans.values():
        if span.seconds < LEAST_SPAN_SECONDS:
            continue
        for key, load in span.newest.values.items():
            before = None if span.base is None else span.base.values.get(key)
            grown = load.counted(name, before)
            if grown is None:
                continue
            if name in FOLLOWED and load.followed_share:
                grown /= load.followed_share
            known = sums.setdefault(key, _Sum())
            known.value += grown / span.seconds
            known.seconds = max(known.seconds, span.seconds)
    rows = [
        _row(key, known.value * metric.entry.scale, at, round(known.seconds))
        for key, known in sums.items()
    ]
    return column(INFERENCE_POOLS, rows) if rows else None


def _latencies(spans: Mapping[str, Span[Loads]], metric: Metric, at: float) -> Column | None:
    """Buckets of the window. Publishers of one release have equal bounds; others are left out."""
    name = metric.entry.feed
    bounds: tuple[float, ...] | None = None
    counts: dict[PoolKey, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    seconds = 0.0
    for span in spans.values():
        if span.seconds < LEAST_SPAN_SECONDS:
            continue
        for key, load in span.newest.values.items():
            histogram = load.histograms.get(name)
            if histogram is None or bounds not in (None, histogram.bounds):
                continue
            bounds = histogram.bounds
            before = None if span.base is None else span.base.values.get(key)
            base = None if before is None else before.histograms.get(name)
            grown = histogram.since(base)
            if grown is None:
                continue
            added = np.array(grown.counts, np.float64)
            counts[key] = counts[key] + added if key in counts else added
            seconds = max(seconds, span.seconds)
    if bounds is None:
        return None
    rows = [
        _row(key, np.nan, at, round(seconds), counts=total.tolist())
        for key, total in counts.items()
    ]
    return column(INFERENCE_POOLS, rows, (*bounds, np.inf))


def _row(
    key: PoolKey, value: float, at: float, window: int, counts: Sequence[float] | None = None
) -> Row:
    namespace, pool, model = key
    labels = with_model({"model_name": model}) if model else {}
    return Row((namespace, pool), labels, float(value), at, window, counts=counts)


def wish_columns(snapshots: Sequence[Snapshot], metrics: Iterable[Metric]) -> Columns:
    """An autoscaler's wishes, of the workload and of its pool; of several, the latest said."""
    found: Columns = {}
    for metric in metrics:
        field = _WISH_OF.get(metric.entry.feed)
        if field is None:
            continue
        kinds: dict[str, Resource] = {}
        rows: dict[str, dict[tuple[Key, str], Row]] = {}
        for snapshot in sorted(snapshots, key=lambda s: (s.observed_at, s.publisher)):
            for wish in snapshot.desired:
                value = getattr(wish, field)
                if value is None:
                    continue
                labels = with_model({"model_name": wish.model}) if wish.model else {}
                targets = [(resource_of(wish.kind, wish.api_version), wish.name)]
                if wish.pool:
                    targets.append((INFERENCE_POOLS, wish.pool))
                for resource, name in targets:
                    row = Row((wish.namespace, name), labels, value, snapshot.observed_at)
                    kinds[str(resource)] = resource
                    rows.setdefault(str(resource), {})[row.key, wish.model] = row
        for name, resource in kinds.items():
            found[name, metric.entry.name] = (column(resource, rows[name].values()),)
    return found
