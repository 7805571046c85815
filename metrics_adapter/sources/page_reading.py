"""One metrics page after another -> values of the table's metrics. Pure but for memory, bounded.

Counters and histograms are told as growth within the metric's window; one that fell was reset, and
counts from zero. A number that is not finite, or a family with a line that cannot be read, is not
known: a sum over what could be read would look like less load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadstar.signals.exposition import Sample, samples
from loadstar.signals.series_selector import SeriesSelector
from metrics_adapter.adapter_config import Fold, Kind
from metrics_adapter.catalog import Metric, with_model
from metrics_adapter.catalog.naming import MODEL_LABELS
from metrics_adapter.query.assemble import Distribution, Page, Words
from metrics_adapter.query.columns import NO_WINDOW, Floats
from metrics_adapter.query.folding import fold
from metrics_adapter.query.inventory import Key

MOST_SERIES: Final = 64
"""Of one metric on one page; a page with more is told as one series."""
STEPS: Final = 5
"""Readings of its counters that are kept of a page, a fifth of the window apart."""
LEAST_SPAN_SECONDS: Final = 1.0
ITSELF: Final[Key] = ("", "")
"""Whom a page is about that names nobody. Not the pod's own name: equal pages share a layout."""
NO_BOUND: Final = -1.0
"""In the place of a bucket's bound, of what is one counter."""

Labels = tuple[tuple[str, str], ...]


class Named(NamedTuple):
    """Whom a series is about, where its labels say: namespace and name."""

    namespace_label: str
    pod_label: str


class Cell(NamedTuple):
    """One counter of a page: a counter itself, or a bucket of a histogram."""

    metric: int
    about: Key
    labels: Labels
    bound: float


class Segment(NamedTuple):
    """A series: one counter, or the buckets of a histogram side by side."""

    metric: int
    about: Key
    labels: Labels
    start: int
    end: int
    bounds: Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """Which counter stands where in an array. Equal pages share one."""

    cells: tuple[Cell, ...]
    place: Mapping[Cell, int]
    segments: tuple[Segment, ...]
    series: NDArray[np.int64]
    """For each cell the segment that it is of."""


class Layouts:
    """Every layout in use, each once: pages of one engine are alike."""

    def __init__(self) -> None:
        self._known: dict[tuple[Cell, ...], Layout] = {}

    def of(self, cells: tuple[Cell, ...]) -> Layout:
        found = self._known.get(cells)
        if found is None:
            if len(self._known) >= 1024:
                self._known.clear()
            found = _layout(cells)
            self._known[cells] = found
        return found


def _layout(cells: tuple[Cell, ...]) -> Layout:
    starts = [i for i, cell in enumerate(cells) if not i or cell[:3] != cells[i - 1][:3]]
    ends = [*starts[1:], len(cells)] if starts else []
    segments = tuple(
        Segment(
            *cells[start][:3], start, end, np.array([c.bound for c in cells[start:end]], np.float64)
        )
        for start, end in zip(starts, ends, strict=True)
    )
    series = np.repeat(
        np.arange(len(segments)), np.array([s.end - s.start for s in segments], np.int64)
    )
    place = {cell: index for index, cell in enumerate(cells)}
    return Layout(cells, place, segments, series.astype(np.int64))


@dataclass(frozen=True, slots=True)
class _Kept:
    at: float
    layout: Layout
    total: Floats
    """Growth since the first page, resets made good."""


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
        self._layouts = layouts
        self._key = key
        self._uid = uid
        self._named = named
        self._raw: tuple[Layout, Floats] | None = None
        self._kept: list[_Kept] = []
        self._last: _Kept | None = None
        self._smoothed: dict[tuple[int, Key, Labels], list[tuple[float, float]]] = {}
        self._windows = sorted({m.entry.window for m in metrics if _counts(m)})

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
        distributions = self._grown(counters, values, at)
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

    # --- how it has grown ---------------------------------------------------------------------

    def _grown(
        self,
        counters: Mapping[Cell, float],
        values: dict[Key, list[tuple[int, int, int, float]]],
        at: float,
    ) -> dict[Key, list[Distribution]]:
        """Growth within each window: rates into ``values``, histograms as what is returned."""
        layout = self._layouts.of(tuple(sorted(counters)))
        raw = np.array([counters[cell] for cell in layout.cells], np.float64)
        newest = _Kept(at, layout, self._total(layout, raw))
        self._raw = layout, raw
        distributions: dict[Key, list[Distribution]] = {}
        for window in self._windows:
            base = next((k for k in reversed(self._kept) if k.at <= at - window), None)
            base = base or (self._kept[0] if self._kept else None)
            if base is None or at - base.at < LEAST_SPAN_SECONDS:
                continue
            grown = newest.total - _moved(base, layout)
            self._tell(layout, grown, at - base.at, window, values, distributions)
        self._keep(newest)
        return distributions

    def _total(self, layout: Layout, raw: Floats) -> Floats:
        """What each counter has grown since the first page; what is new has grown from zero."""
        if self._raw is None or self._last is None:
            return np.zeros(len(raw))
        before_layout, before_raw = self._raw
        last = _moved(_Kept(0.0, before_layout, before_raw), layout)
        fell = np.zeros(len(raw) + 1, bool)
        fell[layout.series[raw < last]] = True
        step = np.where(fell[layout.series], raw, raw - last)
        return _moved(self._last, layout) + step

    def _keep(self, newest: _Kept) -> None:
        self._last = newest
        widest = self._windows[-1] if self._windows else 0.0
        if not self._kept or newest.at >= self._kept[-1].at + widest / STEPS:
            self._kept.append(newest)
        while len(self._kept) > 1 and self._kept[1].at <= newest.at - widest:
            del self._kept[0]

    def _tell(
        self,
        layout: Layout,
        grown: Floats,
        seconds: float,
        window: float,
        values: dict[Key, list[tuple[int, int, int, float]]],
        distributions: dict[Key, list[Distribution]],
    ) -> None:
        span = max(round(seconds), 1)
        for segment in layout.segments:
            metric = self._metrics[segment.metric]
            if metric.entry.window != window:
                continue
            part = grown[segment.start : segment.end]
            if metric.entry.kind is Kind.RATE:
                row = self._row(metric, segment.labels, float(part[0]) / seconds, span)
                values.setdefault(segment.about, []).append(row)
                continue
            counts = np.maximum(np.diff(part, prepend=0.0), 0.0)
            distributions.setdefault(segment.about, []).append(
                Distribution(
                    self._words.metric_id(metric.entry.name),
                    self._words.label_id(dict(segment.labels)),
                    span,
                    segment.bounds,
                    counts.astype(np.float32),
                )
            )


def _counts(metric: Metric) -> bool:
    return metric.entry.kind in (Kind.RATE, Kind.LATENCY)


def _family(
    page: bytes, selectors: Sequence[SeriesSelector], suffix: str
) -> list[tuple[SeriesSelector, Sample]]:
    """The samples of the first of ``selectors`` that the page has; none if one is unreadable."""
    for selector in selectors:
        found = samples(page, f"{selector.name}{suffix}".encode())
        if found.unreadable:
            return []
        if found.samples:
            accepted = found.samples
            if selector.matchers:
                accepted = [sample for sample in accepted if selector.accepts(sample.labels)]
            return [(selector, sample) for sample in accepted]
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


def _moved(kept: _Kept, layout: Layout) -> Floats:
    """The totals of ``kept`` where ``layout`` has them; zero for what was not there."""
    if kept.layout is layout:
        return kept.total
    moved = np.zeros(len(layout.cells))
    for cell, index in layout.place.items():
        before = kept.layout.place.get(cell)
        if before is not None:
            moved[index] = kept.total[before]
    return moved


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
