"""What a provider says of one node pool at one instant. Values only; parsed in the provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SETTLED = ("RUNNING", "RUNNING_WITH_ERROR")
"""Any other status: the provider is at work on the pool, and would refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """The pool's own autoscaling; limits are totals or, where those are absent, per zone."""

    enabled: bool = False
    total_min: int | None = None
    total_max: int | None = None
    zone_min: int = 0
    zone_max: int = 0
    location_policy: str = ""
    autoprovisioned: bool = False
    """Made by node auto-provisioning, which takes it away when it is empty."""

    def floor_nodes(self, zones: int) -> int:
        """The minimum that is in force, in nodes of all zones."""
        return self.zone_min * zones if self.total_max is None else self.total_min or 0

    def ceiling_nodes(self, zones: int) -> int:
        return self.zone_max * zones if self.total_max is None else self.total_max


@dataclass(frozen=True, slots=True)
class Instance:
    """One node's machine."""

    zone: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One managed instance group."""

    target: int
    ready: int
    creating: int = 0  # on their way; those that failed are not among them
    no_capacity: bool = False  # its last attempts found none
    no_quota: bool = False
    trouble: str = ""  # what else its last attempts failed of: addresses, rights, a reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation that was waited for."""

    name: str
    done: bool
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look at a pool; ``zones`` is empty where the pool is gone."""

    zones: Mapping[str, Zone] = field(default_factory=dict)
    autoscaling: Autoscaling = Autoscaling()
    status: str = "RUNNING"
    conditions: tuple[str, ...] = ()
    operation: Operation | None = None
    """The one that was asked after, if any."""
    empty: tuple[Instance, ...] = ()
    """Ready nodes on which nothing of anybody's runs; the only ones that may be given back."""

    @property
    def gone(self) -> bool:
        return not self.zones

    @property
    def settled(self) -> bool:
        """Whether nobody is at work on the pool: in an upgrade its sizes are nobody's choice."""
        return self.status in SETTLED

    @property
    def target_nodes(self) -> int:
        return sum(zone.target for zone in self.zones.values())

    @property
    def ready_nodes(self) -> int:
        return sum(zone.ready for zone in self.zones.values())

    @property
    def coming_nodes(self) -> int:
        """Ready, or on their way without an error."""
        return sum(zone.ready + zone.creating for zone in self.zones.values())

    def fullest_zone(self, *, coming: bool = False) -> int:
        """Ready nodes of the zone that has most; with those on their way if ``coming``."""
        zones = self.zones.values()
        return max((z.ready + (z.creating if coming else 0) for z in zones), default=0)

    @property
    def no_capacity(self) -> bool:
        return "GCE_STOCKOUT" in self.conditions or any(
            zone.no_capacity for zone in self.zones.values()
        )

    @property
    def trouble(self) -> str:
        """What else keeps nodes from coming; "" where nothing does."""
        return next((zone.trouble for zone in self.zones.values() if zone.trouble), "")

    @property
    def no_quota(self) -> bool:
        return "GCE_QUOTA_EXCEEDED" in self.conditions or any(
            zone.no_quota for zone in self.zones.values()
        )
