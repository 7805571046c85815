"""What can be bought and what must hold: the question that ``milp`` and ``greedy`` answer alike.

Capacity is in reference replicas at full load. Whole units only. Pure values and their checks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

SLACK: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One pool as a seller of units."""

    pool: str
    capacity: float  # reference replicas of one unit, less what its hazard takes in a lead time
    price_per_hour: float
    low: int = 0
    high: int = 0
    current: int = 0
    replicas: int = 1  # of one unit
    spot: bool = False
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Cover ``need``, and still ``survive`` once any one loss has happened, at the least cost."""

    offers: tuple[Offer, ...]
    need: float
    survive: float = 0.0
    budget_per_hour: float | None = None
    least_replicas: int = 0
    most_replicas: int = 1 << 30
    survive_zones: bool = False
    switch_hours: float = 1.0
    """What a change of one unit is charged, in hours of its price: keeps the mix from wandering."""

    def losses(self) -> tuple[tuple[float, ...], ...]:
        """For each thing that may vanish, the share of each offer's units that stays."""
        found: list[tuple[float, ...]] = []
        for k, offer in enumerate(self.offers):
            if offer.spot:
                found.append(tuple(0.0 if p == k else 1.0 for p in range(len(self.offers))))
        if self.survive_zones:
            for zone in sorted({zone for offer in self.offers for zone in offer.zones}):
                stays = tuple(
                    1.0 - 1.0 / len(o.zones) if zone in o.zones else 1.0 for o in self.offers
                )
                found.append(stays)
        # A loss that would take everything cannot be survived at any price.
        return tuple(stays for stays in found if any(share > 0 for share in stays))


def capacity(
    question: Question, units: Sequence[int], stays: Sequence[float] | None = None
) -> float:
    """Reference replicas of ``units``, of those that stay."""
    shares = stays or (1.0,) * len(units)
    return sum(o.capacity * n * s for o, n, s in zip(question.offers, units, shares, strict=True))


def cost_per_hour(question: Question, units: Sequence[int]) -> float:
    return sum(o.price_per_hour * n for o, n in zip(question.offers, units, strict=True))


def replicas(question: Question, units: Sequence[int]) -> int:
    return sum(o.replicas * n for o, n in zip(question.offers, units, strict=True))


def shortfall(question: Question, units: Sequence[int]) -> float:
    """Reference replicas missing at the worst of today and each loss; 0 when all holds."""
    short = question.need - capacity(question, units)
    for stays in question.losses():
        short = max(short, question.survive - capacity(question, units, stays))
    return max(0.0, short) if short > SLACK else 0.0


def within(question: Question, units: Sequence[int]) -> bool:
    """Whether bounds and budget hold: what no answer may break."""
    budget = question.budget_per_hour
    bounded = all(o.low <= n <= o.high for o, n in zip(question.offers, units, strict=True))
    if not bounded or replicas(question, units) > question.most_replicas:
        return False
    return budget is None or cost_per_hour(question, units) <= budget + SLACK


def value_order(question: Question) -> list[int]:
    """Offers by price of capacity, what is owned before what is not, then by name."""

    def value(index: int) -> tuple[float, int, str]:
        offer = question.offers[index]
        return (offer.price_per_hour / max(offer.capacity, SLACK), -offer.current, offer.pool)

    return sorted(range(len(question.offers)), key=value)


def dearest_first(question: Question) -> list[int]:
    """Offers by price of capacity, what costs most before the rest, then by name."""

    def value(index: int) -> tuple[float, str]:
        offer = question.offers[index]
        return (-offer.price_per_hour / max(offer.capacity, SLACK), offer.pool)

    return sorted(range(len(question.offers)), key=value)


def affordable(question: Question) -> Question:
    """The question with its lower bounds cut, dearest first, to what bounds and budget allow."""
    offers = list(question.offers)
    for index in dearest_first(question):
        while offers[index].low > 0:
            asked = replace(question, offers=tuple(offers))
            if within(asked, [offer.low for offer in offers]):
                return asked
            offers[index] = replace(offers[index], low=offers[index].low - 1)
    return replace(question, offers=tuple(offers))


def whole_units(need: float, per_unit: float) -> int:
    """Units that cover ``need``; a hair over a whole number is that number."""
    return max(0, math.ceil(need / per_unit - SLACK)) if per_unit > 0 else 0
