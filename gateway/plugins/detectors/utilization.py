"""``utilization-detector``: how full endpoints are by their own queue and KV cache.

An endpoint whose metrics are old, missing or incomplete counts as full: it fails closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.datalayer.state import Columns, PoolState
from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools, Floats, Ints
from loadstar.config.load import Check, Seconds, above, at_least

FULL = 1.0


@dataclass(frozen=True, slots=True)
class UtilizationParameters:
    queue_depth_threshold: Annotated[int, at_least(1)] = 5
    """Waiting requests at which an endpoint is full."""
    kv_cache_util_threshold: Annotated[
        float, Check(lambda share: 0 < share <= 1, "must be more than 0 and at most 1")
    ] = 0.8
    metrics_staleness_threshold: Annotated[Seconds, above(0)] | None = None
    """Age from which metrics are not believed; None is ``--metrics-staleness-threshold``. (The
    reference's 200 ms would count endpoints as full that are scraped less often on purpose.)"""
    headroom: Annotated[float, at_least(0)] = 0.0
    """As a filter, how far above the thresholds an endpoint may be: 0.2 is 20 %."""


@dataclass(frozen=True, slots=True)
class UtilizationDetector:
    """mean over endpoints of max(waiting / queue threshold, kv used / kv threshold)."""

    queue_threshold: float
    kv_threshold: float
    staleness: float
    headroom: float

    def saturation(self, state: PoolState, now: float) -> float:
        if not state.endpoints:
            return FULL
        known, waiting, kv_used = self._seen(state.columns, state.slots, now)
        full = np.maximum(waiting / self.queue_threshold, kv_used / self.kv_threshold)
        return float(np.where(known, full, FULL).mean())

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        """Known and below the thresholds with headroom; everybody if that is nobody."""
        known, waiting, kv_used = self._seen(candidates.columns, candidates.slots, cycle.now)
        relaxed = 1.0 + self.headroom
        mask: Bools = (
            known
            & (waiting < self.queue_threshold * relaxed)
            & (kv_used < self.kv_threshold * relaxed)
        )
        return mask if mask.any() else np.ones(len(candidates), np.bool_)

    def _seen(self, columns: Columns, slots: Ints, now: float) -> tuple[Bools, Floats, Floats]:
        waiting, kv_used = columns.waiting[slots], columns.kv_used[slots]
        fresh = now - columns.observed_at[slots] <= self.staleness
        return fresh & ~np.isnan(waiting) & ~np.isnan(kv_used), waiting, kv_used


def utilization_detector(parameters: UtilizationParameters, wiring: Wiring) -> UtilizationDetector:
    staleness = parameters.metrics_staleness_threshold
    return UtilizationDetector(
        queue_threshold=float(parameters.queue_depth_threshold),
        kv_threshold=parameters.kv_cache_util_threshold,
        staleness=wiring.settings.staleness if staleness is None else staleness,
        headroom=parameters.headroom,
    )
