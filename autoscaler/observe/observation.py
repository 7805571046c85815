"""One model's demand and supply at one instant: all that a decision may look at.

Built by the live collector and by the plant simulator alike, recorded in the ledger, read by every
controller. No behaviour but small sums. ``None`` means not known, which is never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What came in for one model during the last ``window_s`` seconds, however it ended.

    Rates count arrivals, queued and shed requests included: completions under-report demand
    exactly when the fleet is saturated.
    """

    window_s: float
    arrivals_rps: float | None  # requests a second
    input_tokens: float | None = None  # mean a request
    output_tokens: float | None = None  # mean a request
    prefix_hit: float | None = None  # share of the input tokens found in a cache, 0..1
    queued_requests: float | None = None  # waiting now, in the gateway and in the engines
    served_rps: float | None = None  # completions a second
    violating: float | None = None  # share of the window's work beyond its objective, 0..1


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSupply:
    """What one pool has and has been asked for.

    A unit is what is bought at once, a node or a slice. Replicas and units are whole; a slice of
    which one node is missing is not a ready unit.
    """

    replicas_ready: int
    replicas_starting: int = 0  # asked for and not ready: pending, loading, or without a node
    replicas_draining: int = 0
    units_ready: int = 0
    units_starting: int = 0
    utilization: float | None = None  # mean load of ready replicas by their concurrency, 0..1
    kv_cache_used: float | None = None  # mean of ready replicas, 0..1
    quota_units: int | None = None  # the most that the provider lets us have; None: not known
    stockout: bool = False  # the provider refused or did not deliver, and its back-off lasts


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known at ``now_s`` (seconds on the controller's clock) of ``model``."""

    now_s: float
    model: str
    demand: Demand
    supply: Mapping[str, PoolSupply] = field(default_factory=dict)  # by pool name

    def replicas_ready(self) -> int:
        """Ready replicas over all pools."""
        return sum(pool.replicas_ready for pool in self.supply.values())

    def replicas_expected(self) -> int:
        """Ready and starting replicas over all pools."""
        return sum(p.replicas_ready + p.replicas_starting for p in self.supply.values())
