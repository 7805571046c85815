"""One metrics page after another -> values of the table's metrics. Pure but for memory, bounded.

Counters and histograms are told as growth within the metric's window (``page_growth``). A number
that is not finite, or a family with a line that cannot be read, is not known: a sum over what could
be read would look like less load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadstar.signals.exposition import Sample, samples
from loadstar.signals.series_selector import SeriesSelector
from metrics_adapter.adapter_config import Fold, Kind
from metrics_adapter.catalog import Metric, with_model
from metrics_adapter.catalog.naming import MODEL_LABELS
from metrics_adapter.query.assemble import Distribution, Page, Words
from metrics_adapter.query.columns import NO_WINDOW
from metrics_adapter.query.folding import fold
from metrics_adapter.query.inventory import Key
from metrics_adapter.sources.page_growth import Grown, PageGrowth
from metrics_adapter.sources.page_layout import ITSELF, NO_BOUND, Cell, Labels, Layouts

MOST_SERIES: Final = 64
"""Of one metric on one page; a page with more is told as one series."""


class Named(NamedTuple):
    """Whom a series is about, where its labels say: namespace and name."""

    namespace_label: str
    pod_label: str


class Reader:
    """Reads the pages of one server, each with what it remembers of those before."""

    def __init__(
        self,
        metrics: Sequence[Metric],
        words: Words,
        layouts: Layouts,
        *,
        key: Key,
        uid: str,
        named: Named | None = None,
    ) -> None:
        """``named`` are the labels that say whom a series is about; None is the server itself."""
        self._metrics = metrics
        self._words = words
        self._key = key
        self._uid = uid
        self._named = named
        self._smoothed: dict[tuple[int, Key, Labels], list[tuple[float, float]]] = {}
        windows = {m.entry.window for m in metrics if m.entry.kind in (Kind.RATE, Kind.LATENCY)}
        self._growth = PageGrowth(sorted(windows), layouts)

    def read(self, page: bytes, at: float) -> list[Page]:
        """What the page of time ``at`` (Unix seconds) says, object by object."""
        values: dict[Key, list[tuple[int, int, int, float]]] = {}
        counters: dict[Cell, float] = {}
        for index, metric in enumerate(self._metrics):
            if metric.entry.kind is Kind.GAUGE:
                for about, labels, value in self._gauges(index, metric, page, at):
                    row = self._row(metric, labels, value, NO_WINDOW)
                    values.setdefault(about, []).append(row)
            elif metric.entry.kind is Kind.RATE:
                counters.update(self._counters(index, metric, page))
            elif metric.entry.kind is Kind.LATENCY:
                counters.update(self._buckets(index, metric, page))
        distributions: dict[Key, list[Distribution]] = {}
        for grown in self._growth.read(counters, at):
            self._tell(grown, values, distributions)
        return [
            self._page(about, at, values.get(about, []), distributions.get(about, []))
            for about in sorted(values.keys() | distributions.keys())
        ]

    def _page(
        self,
        about: Key,
        at: float,
        rows: Sequence[tuple[int, int, int, float]],
        distributions: Sequence[Distribution],
    ) -> Page:
        itself = about == ITSELF
        return Page(
            self._key if itself else about,
            self._uid if itself else "",
            at,
            np.array([row[0] for row in rows], np.int16),
            np.array([row[1] for row in rows], np.int32),
            np.array([row[2] for row in rows], np.int32),
            np.array([row[3] for row in rows], np.float64),
            tuple(distributions),
        )

    def _row(
        self, metric: Metric, labels: Labels, value: float, window: int
    ) -> tuple[int, int, int, float]:
        return (
            self._words.metric_id(metric.entry.name),
            self._words.label_id(dict(labels)),
            window,
            value * metric.entry.scale,
        )

    def _tell(
        self,
        grown: Grown,
        values: dict[Key, list[tuple[int, int, int, float]]],
        distributions: dict[Key, list[Distribution]],
    ) -> None:
        segment = grown.segment
        metric = self._metrics[segment.metric]
        if metric.entry.window != grown.window:
            return
        span = max(round(grown.seconds), 1)
        if metric.entry.kind is Kind.RATE:
            row = self._row(metric, segment.labels, float(grown.by[0]) / grown.seconds, span)
            values.setdefault(segment.about, []).append(row)
            return
        counts = np.maximum(np.diff(grown.by, prepend=0.0), 0.0)
        distributions.setdefault(segment.about, []).append(
            Distribution(
                self._words.metric_id(metric.entry.name),
                self._words.label_id(dict(segment.labels)),
                span,
                segment.bounds,
                counts.astype(np.float32),
            )
        )

    # --- what the page says -------------------------------------------------------------------

    def _gauges(
        self, index: int, metric: Metric, page: bytes, at: float
    ) -> list[tuple[Key, Labels, float]]:
        grouped: dict[tuple[Key, Labels], list[float]] = {}
        for series, sample in _family(page, metric.series, ""):
            about = self._about(sample)
            if about is None or not math.isfinite(sample.value):
                continue
            labels = _labels(metric, series, sample)
            grouped.setdefault((about, labels), []).append(sample.value)
        found = []
        for (about, labels), numbers in _few(grouped).items():
            value = _folded(numbers, metric.entry.fold)
            if metric.entry.smooth is not None:
                value = self._smooth(index, metric, about, labels, value, at)
            found.append((about, labels, value))
        return found

    def _smooth(
        self, index: int, metric: Metric, about: Key, labels: Labels, value: float, at: float
    ) -> float:
        past = self._smoothed.setdefault((index, about, labels), [])
        past.append((at, value))
        while past[0][0] <= at - metric.entry.window or len(past) > MOST_SERIES:
            del past[0]
        assert metric.entry.smooth is not None
        return _folded([number for _, number in past], metric.entry.smooth)

    def _counters(self, index: int, metric: Metric, page: bytes) -> dict[Cell, float]:
        sums: dict[tuple[Key, Labels], list[float]] = {}
        for series, sample in _family(page, metric.series, ""):
            about = self._about(sample)
            if about is not None and 0 <= sample.value < math.inf:
                labels = _labels(metric, series, sample)
                sums.setdefault((about, labels), []).append(sample.value)
        return {
            Cell(index, about, labels, NO_BOUND): math.fsum(numbers)
            for (about, labels), numbers in _few(sums).items()
        }

    def _buckets(self, index: int, metric: Metric, page: bytes) -> dict[Cell, float]:
        found: dict[Cell, float] = {}
        for series, sample in _family(page, metric.series, "_bucket"):
            about = self._about(sample)
            bound = _bound(sample.labels.get("le", ""))
            if about is None or bound is None or not 0 <= sample.value < math.inf:
                continue
            cell = Cell(index, about, _labels(metric, series, sample), bound)
            found[cell] = found.get(cell, 0.0) + sample.value
        return found

    def _about(self, sample: Sample) -> Key | None:
        if self._named is None:
            return ITSELF
        labels = sample.labels
        namespace = labels.get(self._named.namespace_label) or labels.get(
            f"exported_{self._named.namespace_label}", ""
        )
        name = labels.get(self._named.pod_label) or labels.get(
            f"exported_{self._named.pod_label}", ""
        )
        return (namespace, name) if namespace and name else None


def _family(
    page: bytes, selectors: Sequence[SeriesSelector], suffix: str
) -> list[tuple[SeriesSelector, Sample]]:
    """The samples of the first of ``selectors`` that the page has; none if one is unreadable."""
    for selector in selectors:
        found = samples(page, f"{selector.name}{suffix}".encode())
        if found.unreadable:
            return []
        if found.samples:
            return [(selector, sample) for sample in selector.choose(found.samples)]
    return []


def _labels(metric: Metric, series: SeriesSelector, sample: Sample) -> Labels:
    """The model, raw and for selectors, and what the metric says to keep."""
    wanted = (*MODEL_LABELS, *metric.entry.labels)
    kept = {name: sample.labels[name] for name in wanted if sample.labels.get(name)}
    return tuple(sorted(with_model(kept).items()))


def _few(grouped: dict[tuple[Key, Labels], list[float]]) -> dict[tuple[Key, Labels], list[float]]:
    """``grouped``, or what it holds without labels where those are too many."""
    if len(grouped) <= MOST_SERIES:
        return grouped
    together: dict[tuple[Key, Labels], list[float]] = {}
    for (about, _), numbers in grouped.items():
        together.setdefault((about, ()), []).extend(numbers)
    return together


def _folded(numbers: Sequence[float], how: Fold) -> float:
    if len(numbers) == 1:
        return numbers[0]
    group: NDArray[np.int32] = np.zeros(len(numbers), np.int32)
    return float(fold(np.array(numbers, np.float64), group, 1, how)[0])


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
