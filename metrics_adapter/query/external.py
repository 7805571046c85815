"""External metrics: every series that is selected, one for each pool and model. Pure.

An HPA adds all items up, so series of one answer are always of one granularity: what sources
tell as external rows, else one row for each pool and model, else one for each pool.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from loadstar.kube.resources import INFERENCE_POOLS
from metrics_adapter.adapter_config import Kind
from metrics_adapter.catalog import EXTERNAL, Metric
from metrics_adapter.query import reasons
from metrics_adapter.query.ask import ExternalQuery, Value
from metrics_adapter.query.columns import WHENEVER, Column
from metrics_adapter.query.compute import Asking, compute, quantile_asked
from metrics_adapter.query.folding import quantile
from metrics_adapter.query.gather import Moment, Seen, Target
from metrics_adapter.query.view import View

POOLS = str(INFERENCE_POOLS)
POOL_LABEL = "pool"

Words: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One series at its freshest."""

    labels: Mapping[str, str]
    value: float
    at: float
    window: int


def external(view: View, query: ExternalQuery, now: float) -> list[Value]:
    """The series of ``query``. Raises NotFound, or Stale."""
    metric = view.catalog.resolve(query.metric)
    moment, seen = Moment(now, view.staleness), Seen()
    selector, share = query.selector, None
    if metric is not None and metric.entry.kind is Kind.LATENCY:
        selector, share = quantile_asked(metric, query.selector)
    names = [query.metric] if metric is None else [query.metric, metric.entry.name]
    columns = view.columns(str(EXTERNAL), *names)
    found = _fresh(_rows(columns, query.namespace, moment, share), moment, seen)
    chosen = _selected(found, query, seen)
    # Where external rows are told, and are too old, others would be another thing.
    told = bool(found) or math.isfinite(seen.newest)
    if not told and metric is not None and metric.entry.external:
        asking = Asking(view, moment, seen)
        found = _by_model(asking, metric, query.namespace, share)
        if not found:
            found = _by_pool(asking, query.metric, metric, query.namespace)
        chosen = [s for s in found if selector.matches(s.labels)]
        seen.other_labels = seen.other_labels or len(chosen) < len(found)
    if not chosen:
        raise reasons.no_external(view, query, seen, now)
    most = None if metric is None else metric.entry.at_most
    return [
        Value(
            query.metric,
            series.value if most is None else min(series.value, most),
            series.at,
            None if series.window < 0 else series.window,
            labels=series.labels,
        )
        for series in sorted(chosen, key=lambda series: sorted(series.labels.items()))
    ]


def _selected(found: Iterable[Series], query: ExternalQuery, seen: Seen) -> list[Series]:
    every = list(found)
    chosen = [series for series in every if query.selector.matches(series.labels)]
    seen.other_labels = len(chosen) < len(every)
    return chosen


def _rows(
    columns: Iterable[Column],
    namespace: str,
    moment: Moment,
    share: float | None,
    *,
    pool: bool = False,
) -> list[Series]:
    """Every row of ``namespace`` (or of none), fresh or not."""
    found = []
    for column in columns:
        values = column.value
        if column.buckets is not None:
            if share is None:
                continue
            values = quantile(
                column.buckets.bounds, column.buckets.counts.astype(np.float64), share
            )
        for row, place in enumerate(column.row_object.tolist()):
            where, name = column.objects.keys[place]
            if where not in ("", namespace):
                continue
            labels = column.labels[column.row_labels[row]]
            if pool:
                labels = {**labels, POOL_LABEL: name}
            at = float(column.at[row])
            found.append(
                Series(
                    labels,
                    float(values[row]),
                    moment.now if at == WHENEVER else at,
                    int(column.window[row]),
                )
            )
    return found


def _fresh(rows: Iterable[Series], moment: Moment, seen: Seen) -> list[Series]:
    """Of each set of labels the freshest number; what is too old is only noted."""
    best: dict[Words, Series] = {}
    for series in rows:
        if abs(moment.now - series.at) > moment.staleness:
            seen.newest = max(seen.newest, series.at)
            continue
        if not math.isfinite(series.value):
            continue
        words = tuple(sorted(series.labels.items()))
        known = best.get(words)
        if known is None or series.at > known.at:
            best[words] = series
    return list(best.values())


def _by_model(asking: Asking, metric: Metric, namespace: str, share: float | None) -> list[Series]:
    """One for each pool and model; nothing unless every input is known so finely."""
    entry = metric.entry
    if metric.expression is None:
        columns = asking.view.columns(POOLS, entry.name)
        rows = _rows(columns, namespace, asking.moment, share, pool=True)
        scale = entry.scale if entry.kind is Kind.LATENCY else 1.0
        return [
            Series(series.labels, series.value * scale, series.at, series.window)
            for series in _fresh(rows, asking.moment, asking.seen)
        ]
    parts: dict[str, dict[Words, Series]] = {}
    for name in metric.expression.names:
        part = asking.view.catalog.resolve(name)
        if part is None or part.entry.kind is Kind.LATENCY:
            return []
        found = _by_model(asking, part, namespace, None)
        if not found:
            return []
        parts[name] = {tuple(sorted(series.labels.items())): series for series in found}
    words = sorted(set[Words]().union(*parts.values()))
    values = {
        name: np.array([known[w].value if w in known else np.nan for w in words])
        for name, known in parts.items()
    }
    result = metric.expression.evaluate(values)
    made = []
    for index, these in enumerate(words):
        if math.isfinite(result[index]):
            inputs = [known[these] for known in parts.values() if these in known]
            at = min(series.at for series in inputs)
            window = max(series.window for series in inputs)
            made.append(Series(dict(these), float(result[index]), at, window))
    return made


def _by_pool(asking: Asking, asked: str, metric: Metric, namespace: str) -> list[Series]:
    """One for each pool of the namespace, from its pods or what is told of it."""
    names = set(asking.view.inventory.names(POOLS, namespace))
    for (resource, _), columns in asking.view.by_metric.items():
        if resource == POOLS:
            for column in columns:
                names |= {name for where, name in column.objects.keys if where == namespace}
    targets = [Target((namespace, name)) for name in sorted(names)]
    if not targets:
        return []
    found = compute(asking, asked, metric, POOLS, targets)
    return [
        Series({POOL_LABEL: target.key[1]}, float(value), float(at), int(window))
        for target, value, at, window in zip(targets, *found, strict=True)
        if math.isfinite(value)
    ]
