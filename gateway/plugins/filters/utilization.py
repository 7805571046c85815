"""``utilization-filter``: endpoints within every configured cap.

The reference takes a missing metric for zero. Here it is not: an endpoint whose metric is not
known does not satisfy a cap on it, unless it is known of no candidate at all (an engine that does
not have the metric, a scraper that is down): then the cap says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import numpy as np

from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools, Floats
from loadstar.config.load import NOT_EMPTY, at_least


class Metric(Enum):
    ACTIVE = "active-requests"
    """Requests of this gateway in flight; always known."""
    RUNNING = "running-requests"
    WAITING = "waiting-queue"
    KV_CACHE = "kv-cache-utilization"


@dataclass(frozen=True, slots=True)
class Condition:
    """``metric`` may be ``max_value`` at most."""

    metric: Metric
    max_value: Annotated[float, at_least(0)]

    def __post_init__(self) -> None:
        if self.metric is Metric.KV_CACHE and self.max_value > 1:
            raise ValueError(
                f"maxValue of {Metric.KV_CACHE.value} is a fraction, at most 1, "
                f"not {self.max_value:g}"
            )

    def holds(self, candidates: Candidates) -> Bools:
        values = _values(self.metric, candidates)
        known = ~np.isnan(values)
        if not known.any():
            return np.ones(len(candidates), np.bool_)
        kept: Bools = known & (values <= self.max_value)
        return kept


@dataclass(frozen=True, slots=True)
class UtilizationFilter:
    """All of ``conditions``."""

    conditions: Annotated[tuple[Condition, ...], NOT_EMPTY]
    fallback_on_empty: bool = False
    """Keep everybody when nobody is within the caps."""
    in_flight_load_producer_name: str = ""

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        mask = np.ones(len(candidates), np.bool_)
        for condition in self.conditions:
            mask &= condition.holds(candidates)
        if self.fallback_on_empty and not mask.any():
            return np.ones(len(candidates), np.bool_)
        return mask


def _values(metric: Metric, candidates: Candidates) -> Floats:
    columns, slots = candidates.columns, candidates.slots
    match metric:
        case Metric.ACTIVE:
            return columns.inflight_requests[slots].astype(np.float64)
        case Metric.RUNNING:
            return _believable(columns.running, candidates)
        case Metric.WAITING:
            return _believable(columns.waiting, candidates)
        case Metric.KV_CACHE:
            return _believable(columns.kv_used, candidates)


def _believable(column: Floats, candidates: Candidates) -> Floats:
    values: Floats = np.where(candidates.confidence > 0.0, column[candidates.slots], np.nan)
    return values
