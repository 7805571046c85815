"""The adapter's configuration document (a ConfigMap's or a file's text) -> frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from loadstar.config.document import read
from loadstar.config.errors import ConfigError, Problems, did_you_mean
from loadstar.config.load import Fraction, Seconds, above, between, build, one_of
from metrics_adapter.adapter_config.metrics import MetricEntry
from metrics_adapter.adapter_config.sources import TYPES, AnySource

KIND = "MetricsAdapterConfig"
API_VERSION = "loadstar.dev/v1alpha1"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """What the adapter serves, and from where."""

    sources: tuple[AnySource, ...] = ()
    metrics: tuple[MetricEntry, ...] = ()
    """Beside the defaults; one of the same name takes a default's place."""
    defaults: bool = True
    """Whether the built-in table is served."""
    staleness: float = 60.0
    """Seconds after which a sample is no longer told."""
    quorum: float = 0.5
    """Share of an object's pods that must be known for it to have a value at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    api_version: Annotated[str, one_of(API_VERSION)] = API_VERSION
    kind: Annotated[str, one_of(KIND)] = KIND
    metadata: Any = None
    sources: tuple[Any, ...] = ()
    metrics: tuple[MetricEntry, ...] = ()
    defaults: bool = True
    staleness: Annotated[Seconds, above(0)] = 60.0
    quorum: Annotated[Fraction, between(0, 1)] = 0.5


def parse_config(text: str | bytes) -> AdapterConfig:
    """The configuration that ``text`` is. Raises ConfigError with everything that is wrong."""
    problems = Problems()
    written = build(_Written, read(text))
    sources = []
    for index, value in enumerate(written.sources):
        try:
            sources.append(_source(value, f"sources[{index}]"))
        except ConfigError as error:
            problems.include(error)
    names: set[str] = set()
    for index, entry in enumerate(written.metrics):
        if entry.name in names:
            problems.add(f"metrics[{index}].name", f"{entry.name} is there twice")
        names.add(entry.name)
    problems.raise_if_any()
    return AdapterConfig(
        sources=tuple(sources),
        metrics=written.metrics,
        defaults=written.defaults,
        staleness=written.staleness,
        quorum=written.quorum,
    )


def _source(value: object, path: str) -> AnySource:
    if not isinstance(value, Mapping):
        raise ConfigError.of(path, "must be a mapping with a type")
    named = value.get("type")
    shape = TYPES.get(named) if isinstance(named, str) else None
    if shape is None:
        words = ", ".join(TYPES)
        hint = did_you_mean(named, TYPES) if isinstance(named, str) else ""
        raise ConfigError.of(f"{path}.type", f"must be one of {words}{hint}")
    return build(shape, value, path)
