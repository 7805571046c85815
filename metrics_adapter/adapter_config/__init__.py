"""The adapter's configuration: what an operator tunes. Flags say how the process serves."""

from __future__ import annotations

from metrics_adapter.adapter_config.document import KIND, AdapterConfig, parse_config
from metrics_adapter.adapter_config.metrics import QUANTILES, Fold, Kind, MetricEntry
from metrics_adapter.adapter_config.sources import (
    AnySource,
    Describes,
    FeedSource,
    FileSource,
    PodsSource,
    PrometheusSource,
    PromqlRule,
)

__all__ = [
    "KIND",
    "QUANTILES",
    "AdapterConfig",
    "AnySource",
    "Describes",
    "FeedSource",
    "FileSource",
    "Fold",
    "Kind",
    "MetricEntry",
    "PodsSource",
    "PrometheusSource",
    "PromqlRule",
    "parse_config",
]
