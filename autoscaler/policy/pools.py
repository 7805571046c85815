"""The pools that capacity is bought from: what a unit is, what it costs, how long it takes.

A unit is what the provider sells at once: a node, or a whole slice of several nodes. Read by what
sizes and by what acts; talks to no provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

from loadstar.config.errors import did_you_mean
from loadstar.config.load import NOT_EMPTY, Seconds, above, at_least, between, key


class PoolKind(StrEnum):
    GPU = "gpu"
    TPU = "tpu"


class PoolMode(StrEnum):
    """The means by which a pool is made larger: the rungs, from the most cooperative down."""

    BUFFER = "buffer"  # a CapacityBuffer
    COMPUTE_CLASS = "computeClass"  # ComputeClass minimumCapacity
    PLACEHOLDER = "placeholder"  # low-priority pods that real ones displace
    PROVISIONING_REQUEST = "provisioningRequest"  # all or nothing
    FLOOR = "floor"  # the node pool's autoscaling minimum
    SET_SIZE = "setSize"  # only where autoscaling is off
    OBSERVE = "observe"  # look, never write
    LOCAL = "local"  # the embedded provider


AUTOSCALED: Final = frozenset(
    {PoolMode.BUFFER, PoolMode.COMPUTE_CLASS, PoolMode.PLACEHOLDER, PoolMode.FLOOR}
)
"""Modes in which empty nodes are the cluster autoscaler's to take, which waits before it does."""


LONGEST_LEAD_S: Final = 86_400.0
"""A forecast looks that far ahead, minute by minute."""
PROVIDERS: Final = ("gke", "local")
"""Of those, something knows how to read and resize their pools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTimePolicy:
    """What to believe of lead times until enough have been seen; each a 90th percentile."""

    node_s: Annotated[Seconds, between(0, LONGEST_LEAD_S)] = field(
        default=240.0, metadata=key("node")
    )
    pod_s: Annotated[Seconds, between(0, LONGEST_LEAD_S)] = field(
        default=150.0, metadata=key("pod")
    )

    def total_s(self) -> float:
        return self.node_s + self.pod_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """One pool."""

    name: Annotated[str, NOT_EMPTY]
    kind: PoolKind = PoolKind.GPU
    accelerator: str = ""
    spot: bool = False
    flex_start: bool = False
    reservation: str = ""
    price_per_unit_hour: Annotated[float, at_least(0)] = 1.0
    replicas_per_unit: Annotated[int, at_least(1)] = 1
    nodes_per_unit: Annotated[int, at_least(1)] = 1
    zones: tuple[Annotated[str, NOT_EMPTY], ...] = ()
    min_units: Annotated[int, at_least(0)] = 0
    max_units: Annotated[int, at_least(0)] = 64
    quota_units: Annotated[int, at_least(0)] | None = field(default=None, metadata=key("quota"))
    lead_time: LeadTimePolicy = LeadTimePolicy()
    hazard_per_hour: Annotated[float, at_least(0)] = 0.0
    """How often an hour a unit of this pool is taken away."""
    relative_speed: Annotated[float, above(0)] = 1.0
    """Work a replica here does, over that of the model's reference replica."""
    provider: Annotated[str, NOT_EMPTY] = "gke"
    mode: PoolMode = PoolMode.OBSERVE
    cluster: str = ""
    location: str = ""
    node_pool: str = ""
    compute_class: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.min_units > self.max_units:
            raise ValueError(f"minUnits {self.min_units} is more than maxUnits {self.max_units}")
        if self.quota_units is not None and self.min_units > self.quota_units:
            raise ValueError(f"minUnits {self.min_units} is more than quota {self.quota_units}")
        if len(set(self.zones)) < len(self.zones):
            raise ValueError("zones names one twice; keep one")
        if self.spot and self.reservation:
            raise ValueError("spot capacity cannot come from a reservation; remove one of the two")
        if self.provider not in PROVIDERS:
            hint = did_you_mean(self.provider, PROVIDERS)
            raise ValueError(f"no provider {self.provider}{hint}; there are {', '.join(PROVIDERS)}")
        if self.provider == "local" and self.mode not in (PoolMode.LOCAL, PoolMode.OBSERVE):
            raise ValueError(f"provider local has no mode {self.mode}; write mode: local")

    def limit_units(self, quota_seen: int | None = None) -> int:
        """The most units that policy and quota allow."""
        limits = [self.max_units]
        limits += [quota for quota in (self.quota_units, quota_seen) if quota is not None]
        return min(limits)

    def price_per_replica_hour(self) -> float:
        return self.price_per_unit_hour / self.replicas_per_unit
