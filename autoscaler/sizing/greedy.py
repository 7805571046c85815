"""The cheapest mix, by buying the best value first: deterministic, and never fails.

Used where the solver has no answer in time, and for one pool, where it is exact. It keeps the same
bounds and budget as the solver: what cannot be afforded is left short, never overspent.
"""

from __future__ import annotations

from autoscaler.sizing.offers import (
    SLACK,
    Question,
    capacity,
    cost_per_hour,
    replicas,
    whole_units,
)


def greedy(question: Question) -> list[int]:
    """Units by offer."""
    units = [offer.low for offer in question.offers]
    everything = (1.0,) * len(units)
    _buy(question, units, everything, question.need)
    for stays in question.losses():
        _buy(question, units, stays, question.survive)
    for index in _order(question):
        short = question.least_replicas - replicas(question, units)
        units[index] += _room(question, units, index, -(-short // question.offers[index].replicas))
    _return(question, units)
    return units


def _order(question: Question) -> list[int]:
    """Offers by price of capacity, what is owned before what is not, then by name."""

    def value(index: int) -> tuple[float, int, str]:
        offer = question.offers[index]
        return (offer.price_per_hour / max(offer.capacity, SLACK), -offer.current, offer.pool)

    return sorted(range(len(question.offers)), key=value)


def _room(question: Question, units: list[int], index: int, more: int) -> int:
    """As many of ``more`` units as bounds and budget allow."""
    offer = question.offers[index]
    most = min(more, offer.high - units[index])
    most = min(most, (question.most_replicas - replicas(question, units)) // offer.replicas)
    if question.budget_per_hour is not None and offer.price_per_hour > 0:
        left = question.budget_per_hour - cost_per_hour(question, units)
        most = min(most, int((left + SLACK) / offer.price_per_hour))
    return max(0, most)


def _buy(question: Question, units: list[int], stays: tuple[float, ...], need: float) -> None:
    """Add the cheapest units that stay until ``need`` is covered or nothing more may be had."""
    for index in _order(question):
        short = need - capacity(question, units, stays)
        per_unit = question.offers[index].capacity * stays[index]
        if short <= SLACK:
            return
        if per_unit > 0:
            units[index] += _room(question, units, index, whole_units(short, per_unit))


def _return(question: Question, units: list[int]) -> None:
    """Take back, dearest first, what later purchases made needless."""
    losses = question.losses()
    for index in reversed(_order(question)):
        offer = question.offers[index]
        while units[index] > offer.low:
            units[index] -= 1
            holds = capacity(question, units) >= question.need - SLACK
            holds = holds and replicas(question, units) >= question.least_replicas
            if holds and all(
                capacity(question, units, stays) >= question.survive - SLACK for stays in losses
            ):
                continue
            units[index] += 1
            break
