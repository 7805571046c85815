"""What a provider has to give to one pool now: its limit, the zones that deliver, the next zone.

Asked by ``provider`` before it adds units; changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoscaler.simulate.fault import FaultKind
from autoscaler.simulate.faults import Timeline
from autoscaler.simulate.fleet import Fleet
from autoscaler.simulate.provider_calls import Pool


@dataclass(frozen=True, slots=True)
class Availability:
    """Of one pool, under the faults that last."""

    pool: Pool
    fleet: Fleet
    faults: Timeline

    def limit_units(self) -> int | None:
        """The most units that the provider lets the pool have; None: no bound."""
        limits = [f.units for f in self.faults.active(FaultKind.QUOTA, self.pool.name)]
        limits.append(self.pool.quota_units)
        known = [limit for limit in limits if limit is not None]
        return min(known) if known else None

    def room(self, units: int) -> int:
        """How many of so many more units the limit leaves."""
        limit = self.limit_units()
        return units if limit is None else max(0, min(units, limit - self.fleet.units_total()))

    def is_dry(self, zone: str) -> bool:
        """Whether ``zone`` has none to give."""
        return any(True for _ in self.faults.active(FaultKind.STOCKOUT, self.pool.name, zone))

    def open_zone(self) -> str:
        """Where the cluster autoscaler puts the next unit: the emptiest zone that delivers."""
        return self.emptiest([z for z in self.pool.zones if not self.is_dry(z)] or self.pool.zones)

    def emptiest(self, among: Sequence[str]) -> str:
        """The zone with the fewest units, the first by name of several; "" where there is none."""
        if len(among) <= 1:
            return among[0] if among else ""
        count = dict.fromkeys(among, 0)
        for unit in self.fleet.units:
            if unit.zone in count:
                count[unit.zone] += 1
        return min(among, key=lambda z: (count[z], z))
