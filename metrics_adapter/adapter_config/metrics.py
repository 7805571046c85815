"""One row of the metrics table, as it is written: where a metric comes from and how it adds up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Final

from loadstar.config.load import NOT_EMPTY, Check, Seconds, above, key

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_:.\-|]*")
METRIC_NAME: Final = Check(
    lambda name: _NAME.fullmatch(name) is not None, "must be a metric name without a slash"
)
"""No slash: kube-apiserver decodes an escaped one, and the path would have a segment too many."""


class Kind(Enum):
    """How what is scraped becomes a value."""

    GAUGE = "gauge"
    RATE = "rate"
    """A counter's growth per second."""
    LATENCY = "latency"
    """A histogram's growth, of which quantiles are told."""
    EXPRESSION = "expression"
    """Arithmetic over other metrics of the same object."""


class Fold(Enum):
    """How several numbers become one."""

    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    P50 = "p50"
    P90 = "p90"
    P99 = "p99"


QUANTILES: Final[Mapping[str, float]] = MappingProxyType({"p50": 0.5, "p90": 0.9, "p99": 0.99})

NO_FOLDS: Final[Mapping[str, Fold]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricEntry:
    """A metric that the adapter serves."""

    name: Annotated[str, METRIC_NAME]
    kind: Kind = Kind.GAUGE
    series: tuple[Annotated[str, NOT_EMPTY], ...] = field(default=(), metadata=key("from"))
    """PromQL selectors; the first whose family a pod's page has is the one that is read."""
    feed: str = ""
    """The field of the gateways' signals that says the same."""
    expression: str = ""
    per_pod: bool = False
    """Work an expression out for each pod and add those up; else from what the inputs add up to."""
    scale: Annotated[float, above(0)] = 1.0
    """What is read is multiplied by it: 1000 makes milliseconds of seconds."""
    labels: tuple[Annotated[str, NOT_EMPTY], ...] = ()
    """Of scraped series, those to tell apart by and to select with, beside the model."""
    fold: Fold = Fold.SUM
    """Several series of one object -> one number."""
    aggregate: Fold = Fold.SUM
    """Several pods -> the object they make up."""
    aggregates: Mapping[str, Fold] = field(default_factory=lambda: NO_FOLDS)
    """By resource (``inferencepools.inference.networking.k8s.io``), where it is another."""
    window: Annotated[Seconds, above(0)] = 60.0
    """Of rates, latencies and ``smooth``."""
    smooth: Fold | None = None
    """For gauges: the mean, maximum or quantile of what was scraped within the window."""
    quantile: Fold = Fold.P90
    """For latencies: the one that is told when none is asked for."""
    external: bool = False
    """Also told by the external metrics API, one series for each pool and model."""
    aliases: tuple[Annotated[str, NOT_EMPTY], ...] = ()
    at_most: float | None = None
    """Clamp: shares are quotients of floats."""
    help: str = ""

    def __post_init__(self) -> None:
        if self.kind is Kind.EXPRESSION:
            if not self.expression or self.series or self.feed:
                raise ValueError("an expression has `expression`, and neither `from` nor `feed`")
        elif self.expression:
            raise ValueError("`expression` goes with kind: expression")
        if self.smooth is Fold.SUM or (self.smooth and self.kind is not Kind.GAUGE):
            raise ValueError("`smooth` is avg, min, max or a quantile of a gauge")
        if self.quantile.value not in QUANTILES:
            raise ValueError("`quantile` is p50, p90 or p99")
        for name in self.aliases:
            if "/" in name:
                raise ValueError(f"the alias {name!r} must not contain a slash")

    def folded(self, resource: str) -> Fold:
        """How pods add up to a ``resource``."""
        return self.aggregates.get(resource, self.aggregate)
