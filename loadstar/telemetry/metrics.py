"""Metric families that cost nanoseconds to record and take their names at scrape time.

prometheus_client's own counters take a lock per value and walk every bucket; a gateway that
records twenty values per request, each under an old and a new name, would spend more there than
on picking. Here a value is recorded once, in one thread, and ``Families.collect`` shows it under
its name and every alias. Exposition itself stays prometheus_client's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

OTHER = "other"
"""What a label value beyond its cap is shown as (the reference's word)."""

MAX_SERIES = 1000
"""Series of one family before further label sets fold into ``other``; bounds memory and page."""


class CappedLabel:
    """Admits at most ``cap`` distinct values of a client-supplied label; the rest are ``other``.

    A value once admitted always answers itself, so that increments and decrements stay paired.
    """

    def __init__(self, cap: int = 1000) -> None:
        self._cap = cap
        self._seen: set[str] = {"", OTHER}
        self._pinned: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._seen or value in self._pinned:
            return value
        if len(self._seen) - 2 >= self._cap:
            return OTHER
        self._seen.add(value)
        return value

    def pin(self, values: Iterable[str]) -> None:
        """Always admit ``values``: names that the operator configured never fold."""
        self._pinned.update(values)


class Counter:
    """One series that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount


class Gauge:
    """One series that moves both ways."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value

    def inc(self) -> None:
        self.value += 1.0

    def dec(self) -> None:
        self.value -= 1.0


class Histogram:
    """One series of observations in buckets; ``counts[i]`` holds bounds[i-1] < v <= bounds[i]."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Collector(Protocol):
    """What a CollectorRegistry accepts."""

    def collect(self) -> Iterable[Metric]: ...


Series = TypeVar("Series", Counter, Gauge, Histogram)


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for a family. ``labels`` maps the alias's label names to the family's.

    Labels that an alias leaves out are summed over, as the older metric never had them.
    """

    name: str
    labels: Mapping[str, str]


def alias(name: str, *labels: str, **renamed: str) -> Alias:
    """An alias that keeps ``labels`` and shows others under a new name (``new=old``)."""
    return Alias(name, {**{label: label for label in labels}, **renamed})


@dataclass(slots=True)
class Family(Generic[Series]):
    """All series of one metric. ``labels(...)`` is to be called once and its answer kept."""

    name: str
    help: str
    label_names: tuple[str, ...]
    make: Callable[[], Series]
    aliases: tuple[Alias, ...] = ()
    max_series: int = MAX_SERIES
    series: dict[tuple[str, ...], Series] = field(default_factory=dict)

    def labels(self, *values: str) -> Series:
        """The series of ``values`` (one per label name); a full family answers ``other``'s."""
        found = self.series.get(values)
        if found is not None:
            return found
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has labels {self.label_names}, got {values}")
        if len(self.series) >= self.max_series:
            values = (OTHER,) * len(values)
            if values in self.series:
                return self.series[values]
        made = self.series[values] = self.make()
        return made

    def drop(self, *values: str) -> None:
        """Forget the series of ``values``, where what it described has gone."""
        self.series.pop(values, None)


class Families:
    """The metrics of one process, in the order declared; a prometheus_client Collector."""

    def __init__(self) -> None:
        self._counters: list[Family[Counter]] = []
        self._gauges: list[Family[Gauge]] = []
        self._histograms: list[Family[Histogram]] = []

    def counter(
        self, name: str, help: str, *labels: str, also: Iterable[Alias] = ()
    ) -> Family[Counter]:
        family = Family(name, help, labels, Counter, tuple(also))
        self._counters.append(family)
        return family

    def gauge(
        self, name: str, help: str, *labels: str, also: Iterable[Alias] = ()
    ) -> Family[Gauge]:
        family = Family(name, help, labels, Gauge, tuple(also))
        self._gauges.append(family)
        return family

    def histogram(
        self,
        name: str,
        help: str,
        *labels: str,
        buckets: Sequence[float],
        also: Iterable[Alias] = (),
    ) -> Family[Histogram]:
        bounds = tuple(buckets)
        family = Family(name, help, labels, lambda: Histogram(bounds), tuple(also))
        self._histograms.append(family)
        return family

    def each(self) -> Iterator[Family[Any]]:
        """Every family, once."""
        yield from self._counters
        yield from self._gauges
        yield from self._histograms

    def names(self) -> list[str]:
        """Every name shown, aliases included."""
        return [metric.name for metric in self.collect()]

    def collect(self) -> Iterator[Metric]:
        """Every family under each of its names. Safe beside one writer thread."""
        for counters in self._counters:
            for shown, series in _views(counters):
                yield _counter(shown, counters, series)
        for gauges in self._gauges:
            for shown, each in _views(gauges):
                yield _gauge(shown, gauges, each)
        for histograms in self._histograms:
            for shown, many in _views(histograms):
                yield _histogram(shown, histograms, many)


def _views(family: Family[Series]) -> Iterator[tuple[Alias, dict[tuple[str, ...], list[Series]]]]:
    """The family under its own name, then under each alias: label values -> series to add up."""
    # list() of a dict's items is one step of the interpreter: the writer may add series meanwhile.
    items = list(family.series.items())
    own = Alias(family.name, {label: label for label in family.label_names})
    for shown in (own, *family.aliases):
        at = [family.label_names.index(source) for source in shown.labels.values()]
        merged: dict[tuple[str, ...], list[Series]] = {}
        for values, series in items:
            merged.setdefault(tuple(values[i] for i in at), []).append(series)
        yield shown, merged


def _help(shown: Alias, family: Family[Series]) -> str:
    return family.help if shown.name == family.name else f"Old name of {family.name}. {family.help}"


def _counter(
    shown: Alias, family: Family[Counter], series: Mapping[tuple[str, ...], list[Counter]]
) -> Metric:
    metric = CounterMetricFamily(shown.name, _help(shown, family), labels=list(shown.labels))
    for values, each in series.items():
        metric.add_metric(values, sum(s.value for s in each))
    return metric


def _gauge(
    shown: Alias, family: Family[Gauge], series: Mapping[tuple[str, ...], list[Gauge]]
) -> Metric:
    metric = GaugeMetricFamily(shown.name, _help(shown, family), labels=list(shown.labels))
    for values, each in series.items():
        metric.add_metric(values, sum(s.value for s in each))
    return metric


def _bound(bound: float) -> str:
    shown: str = floatToGoString(bound)  # type: ignore[no-untyped-call]  # theirs has no annotations
    return shown


def _histogram(
    shown: Alias, family: Family[Histogram], series: Mapping[tuple[str, ...], list[Histogram]]
) -> Metric:
    metric = HistogramMetricFamily(shown.name, _help(shown, family), labels=list(shown.labels))
    for values, each in series.items():
        total = 0
        buckets: list[tuple[str, float]] = []
        counts = [sum(column) for column in zip(*(s.counts for s in each), strict=True)]
        for bound, count in zip((*each[0].bounds, float("inf")), counts, strict=True):
            total += count
            buckets.append((_bound(bound), total))
        metric.add_metric(values, buckets, sum(s.sum for s in each))
    return metric
