"""One pool as the planner keeps it: what was asked of it, what came, and what it can sell now.

Turns replicas into whole units (nodes, slices) and back. Remembers orders until they are Ready,
which is how lead times are learned, and how long ago the pool could not deliver.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from autoscaler.capacity.lead_time import LeadTimes, Orders
from autoscaler.capacity.profiles import speed_of
from autoscaler.observe.observation import PoolSupply
from autoscaler.policy.model import ModelPolicy, VariantPolicy
from autoscaler.policy.pools import PoolPolicy
from autoscaler.sizing.offers import Offer

NOTHING = PoolSupply(replicas_ready=0)


@dataclass(slots=True)
class PoolBook:
    """One pool's book for one model. ``units`` is what we want there to be."""

    variant: VariantPolicy
    pool: PoolPolicy
    lead: LeadTimes
    speed: float = 1.0  # of a replica here, over the model's reference replica
    units: int = 0
    supply: PoolSupply = NOTHING
    stockout_s: float = -math.inf
    _orders: Orders = field(default_factory=Orders)
    started: bool = False
    """Whether it has ever been seen: of a pool nobody has seen nothing is decided."""

    @classmethod
    def of(cls, model: ModelPolicy, variant: VariantPolicy, pool: PoolPolicy) -> PoolBook:
        speed = speed_of(model, variant, pool)
        return cls(variant, pool, LeadTimes(pool.lead_time.total_s()), speed)

    def ready_units(self) -> int:
        """Whole units that serve: a slice that lacks a node does not."""
        return self.supply.replicas_ready // self.pool.replicas_per_unit

    def see(self, now_s: float, supply: PoolSupply | None) -> None:
        """Take in what the pool has; None leaves the last word standing."""
        if supply is None:
            return
        if not self.started:
            self.adopt(supply.replicas_ready + supply.replicas_starting)
            self.started = True
        elif supply.replicas_ready > self.supply.replicas_ready and not supply.stockout:
            more = supply.replicas_ready - self.supply.replicas_ready
            self.lead.extend(self._orders.deliver(now_s, more))
        if supply.stockout:
            self.stockout_s = now_s
        self.supply = supply

    def adopt(self, replicas: int) -> None:
        """Want what is there, whoever asked for it."""
        self.units = -(-max(replicas, 0) // self.pool.replicas_per_unit)
        self._orders = Orders()

    def order(self, now_s: float, units: int) -> None:
        """Want ``units`` from now on."""
        self._orders.place(now_s, (units - self.units) * self.pool.replicas_per_unit)
        self.units = units

    def least_units(self) -> int:
        """What policy wants here at the least, of what there is."""
        least = -(-self.variant.min_replicas // self.pool.replicas_per_unit)
        return min(self.units, max(self.pool.min_units, least))

    def asked_units(self) -> int:
        """Units for the pods there are, whether these stand anywhere or not."""
        pods = self.supply.replicas_ready + self.supply.replicas_starting
        return -(-pods // self.pool.replicas_per_unit)

    def there_units(self, *, shared: bool) -> int:
        """Units that are paid for: up, booting, or not gone yet.

        Of a pool that is ``shared`` with other models, those that pods of this one stand on.
        """
        supply = self.supply
        units = supply.units_ready + supply.units_starting
        if not shared:
            return units
        pods = supply.replicas_ready + supply.replicas_starting + supply.replicas_draining
        return min(units, -(-pods // self.pool.replicas_per_unit))

    def limit_units(self) -> int:
        """The most that policy, quota and the variant's own bound let us add up to."""
        return self._bounded(self.pool.limit_units(self.supply.quota_units))

    def most_units(self, left: int | None = None) -> int:
        """The same, or what stands and is wanted where a quota has fallen below it.

        ``left`` is what other models leave of both, where there are others.
        """
        allowed = self._bounded(self.pool.limit_units())
        if left is not None:
            return min(left, allowed)
        return max(self.limit_units(), min(self.units, standing_units([self]), allowed))

    def _bounded(self, limit: int) -> int:
        if self.variant.max_replicas is None:
            return limit
        return min(limit, self.variant.max_replicas // self.pool.replicas_per_unit)

    def offer(
        self, now_s: float, keep_after_stockout_s: float, *, alone: bool, left: int | None = None
    ) -> Offer:
        """What the pool sells now, no more than ``left``.

        A pool that does not deliver sells what stands: its orders move elsewhere, unless it is
        ``alone``, when they stay. What was scarce a while ago is not given back.
        """
        pool, limit = self.pool, self.most_units(left)
        high = limit
        if self.supply.stockout:
            high = min(limit, self.units if alone else standing_units([self]))
        low = max(pool.min_units, -(-self.variant.min_replicas // pool.replicas_per_unit))
        low = min(low, limit)
        if now_s - self.stockout_s <= keep_after_stockout_s:
            low = max(low, min(self.ready_units(), self.units, limit))
        lost = min(pool.hazard_per_hour * self.lead.p50_s() / 3600.0, 0.5)
        return Offer(
            pool=pool.name,
            capacity=pool.replicas_per_unit * self.speed * (1.0 - lost),
            price_per_hour=pool.price_per_unit_hour,
            low=low,
            high=max(high, low),
            current=min(self.units, max(high, low)),
            replicas=pool.replicas_per_unit,
            spot=pool.spot,
            zones=pool.zones,
        )


def standing_units(books: Sequence[PoolBook]) -> int:
    """Units of one pool that pods serve on or start on, of all ``books`` (one a model) together.

    A quota that falls below them is no reason to give them back.
    """
    there = max((book.supply.units_ready for book in books), default=0)
    asked = sum(book.asked_units() for book in books)
    return max(sum(book.ready_units() for book in books), min(asked, there))
