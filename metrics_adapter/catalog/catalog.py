"""The table of metrics, ready for use: names and aliases -> entries, expressions read and checked.

Built once from a configuration; ``query`` resolves names in it, sources ask it what to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from loadstar.config.errors import Problems, did_you_mean
from loadstar.signals.series_selector import SeriesSelector
from loadstar.signals.series_selector import parse as parse_series
from metrics_adapter.adapter_config import (
    QUANTILES,
    AdapterConfig,
    Fold,
    Kind,
    MetricEntry,
)
from metrics_adapter.catalog.defaults import table
from metrics_adapter.expressions import Expression
from metrics_adapter.expressions import parse as parse_expression

MANAGED_PROMETHEUS: Final = "prometheus.googleapis.com"
_MANAGED_KINDS: Final[Mapping[Kind, str]] = MappingProxyType(
    {Kind.GAUGE: "gauge", Kind.RATE: "counter", Kind.LATENCY: "histogram"}
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One name that can be asked for."""

    entry: MetricEntry
    series: tuple[SeriesSelector, ...] = ()
    expression: Expression | None = None
    quantile: Fold | None = None
    """Of latencies: the one that the name says; None leaves it to the selector."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every metric of the table."""

    metrics: Mapping[str, Metric]
    """By the names that discovery lists."""
    aliases: Mapping[str, Metric]
    """Other names that are understood."""

    def resolve(self, name: str) -> Metric | None:
        """The metric that ``name`` is for; None if it is not of this table."""
        return self.metrics.get(name) or self.aliases.get(name)

    @property
    def entries(self) -> tuple[Metric, ...]:
        """Each entry of the table once."""
        return tuple(metric for metric in self.metrics.values() if metric.quantile is None)


def catalog(config: AdapterConfig) -> Catalog:
    """The catalog of ``config``. Raises ConfigError for what cannot be read or does not exist."""
    problems = Problems()
    places = {entry.name: f"metrics[{i}]" for i, entry in enumerate(config.metrics)}
    entries = table(config.metrics, defaults=config.defaults)
    metrics: dict[str, Metric] = {}
    aliases: dict[str, Metric] = {}
    for entry in entries:
        place = places.get(entry.name, f"metrics ({entry.name})")
        metric = _metric(entry, place, problems)
        metrics[entry.name] = metric
        if entry.kind is Kind.LATENCY:
            for word in QUANTILES:
                quantile = Metric(entry, metric.series, None, Fold(word))
                metrics[f"{entry.name}_{word}"] = quantile
    for metric in metrics.values():
        if metric.quantile is None:
            for name in _other_names(metric):
                aliases.setdefault(name, metric)
    _check_expressions(metrics, places, problems)
    problems.raise_if_any()
    return Catalog(MappingProxyType(metrics), MappingProxyType(aliases))


def _metric(entry: MetricEntry, place: str, problems: Problems) -> Metric:
    series = []
    for index, text in enumerate(entry.series):
        try:
            series.append(parse_series(text))
        except ValueError as error:
            problems.add(f"{place}.from[{index}]", str(error))
    expression = None
    if entry.expression:
        try:
            expression = parse_expression(entry.expression)
        except ValueError as error:
            problems.add(f"{place}.expression", str(error))
    return Metric(entry, tuple(series), expression)


def _other_names(metric: Metric) -> list[str]:
    names = list(metric.entry.aliases)
    kind = _MANAGED_KINDS.get(metric.entry.kind)
    for series in metric.series:
        if not series.matchers and kind is not None:
            names += [series.name, f"{MANAGED_PROMETHEUS}|{series.name}|{kind}"]
    return names


def _check_expressions(
    metrics: Mapping[str, Metric], places: Mapping[str, str], problems: Problems
) -> None:
    for name, metric in metrics.items():
        if metric.expression is None:
            continue
        place = f"{places.get(name, f'metrics ({name})')}.expression"
        for part in metric.expression.names:
            if part not in metrics:
                problems.add(place, f"there is no metric {part}{did_you_mean(part, metrics)}")
        if _reaches(metrics, name, name, set()):
            problems.add(place, f"{name} would be made of itself")


def _reaches(metrics: Mapping[str, Metric], start: str, name: str, seen: set[str]) -> bool:
    metric = metrics.get(name)
    if metric is None or metric.expression is None:
        return False
    for part in metric.expression.names:
        if part == start:
            return True
        if part not in seen:
            seen.add(part)
            if _reaches(metrics, start, part, seen):
                return True
    return False
