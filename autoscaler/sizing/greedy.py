"""The cheapest mix, by buying the best value first: deterministic, and never fails.

Used where the solver has no answer in time, and for one pool, where it is exact. It keeps the same
bounds and budget as the solver: what cannot be afforded is left short, never overspent.
"""

from __future__ import annotations

from dataclasses import replace

from autoscaler.sizing.offers import (
    SLACK,
    Question,
    capacity,
    cost_per_hour,
    replicas,
    value_order,
    whole_units,
)
from autoscaler.sizing.sizes import nearest_floor


def greedy(question: Question) -> list[int]:
    """Units by offer: the least replicas wherever whole units make so many, or nearly so many."""
    units = _bought(question)
    if replicas(question, units) >= question.least_replicas:
        return units
    pairs = zip(question.offers, nearest_floor(question), strict=True)
    raised = tuple(replace(offer, low=low) for offer, low in pairs)
    return _bought(replace(question, offers=raised))


def _bought(question: Question) -> list[int]:
    units = [offer.low for offer in question.offers]
    everything = (1.0,) * len(units)
    _buy(question, units, everything, question.need)
    for stays in question.losses():
        _buy(question, units, stays, question.survive)
    for index in value_order(question):
        short = question.least_replicas - replicas(question, units)
        units[index] += _room(question, units, index, -(-short // question.offers[index].replicas))
    _return(question, units)
    return units


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
    for index in value_order(question):
        short = need - capacity(question, units, stays)
        per_unit = question.offers[index].capacity * stays[index]
        if short <= SLACK:
            return
        if per_unit > 0:
            units[index] += _room(question, units, index, whole_units(short, per_unit))


def _return(question: Question, units: list[int]) -> None:
    """Take back, dearest first, what later purchases made needless."""
    losses = question.losses()
    for index in reversed(value_order(question)):
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
