"""Which numbers of replicas whole units can make, and what gives way where none of them is allowed.

Slices come in fours and nodes in ones, and a pool's lower bound may leave no size between a model's
least and most. Exact, where ``greedy`` goes by price. Pure; called by it and by the planner.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoscaler.sizing.offers import (
    SLACK,
    Question,
    cost_per_hour,
    replicas,
    value_order,
    within,
)


def nearest_floor(question: Question) -> list[int]:
    """The cheapest units that make ``least_replicas`` or more within bounds and budget.

    Where no number of whole units does, those that come nearest to it from below.
    """
    offers = question.offers
    units = [offer.low for offer in offers]
    there = replicas(question, units)
    short = max(0, question.least_replicas - there)
    # A unit that may be left out again is left out: nothing beyond one unit too many is looked at.
    span = min(question.most_replicas - there, short + max(o.replicas for o in offers) - 1)
    if span < 0:
        return units
    parts = [part for index in range(len(offers)) for part in _parts(question, index, span)]
    paid = np.full(span + 1, np.inf)  # by replicas added
    paid[0] = 0.0
    taken: list[np.ndarray] = []
    for index, count in parts:
        size, price = count * offers[index].replicas, count * offers[index].price_per_hour
        cheaper = paid[:-size] + price < paid[size:]
        paid[size:] = np.where(cheaper, paid[:-size] + price, paid[size:])
        taken.append(cheaper)
    made = np.isfinite(paid)
    if question.budget_per_hour is not None:
        made &= paid <= question.budget_per_hour - cost_per_hour(question, units) + SLACK
    had = np.flatnonzero(made)
    enough = had[had >= short]
    added = 0
    if len(enough):
        added = int(enough[np.argmin(paid[enough])])
    elif len(had):
        added = int(had[-1])
    for (index, count), cheaper in zip(reversed(parts), reversed(taken), strict=True):
        size = count * offers[index].replicas
        if added >= size and cheaper[added - size]:
            units[index] += count
            added -= size
    return units


def loosened(question: Question, most: int) -> Question:
    """The question, where its least number of replicas cannot be had with what gives way to it.

    Lower bounds of pools go first, as few of them as need be; then the most replicas rise to the
    next size there is, which is no more than ``most``. Where that does not help either, nothing
    gives way.
    """
    if _reaches(question):
        return question
    free = replace(question, offers=tuple(replace(o, low=0) for o in question.offers))
    if not _reaches(free):
        return replace(question, most_replicas=_next_size(question, most))
    offers = list(free.offers)
    for index in value_order(question):
        for low in range(question.offers[index].low, 0, -1):
            offers[index] = replace(offers[index], low=low)
            if _reaches(replace(question, offers=tuple(offers))):
                break
            offers[index] = replace(offers[index], low=0)
    return replace(question, offers=tuple(offers))


def _next_size(question: Question, most: int) -> int:
    """The smallest size beyond what is allowed, up to ``most``; what is allowed where none is."""
    allowed = question.most_replicas
    if not _reaches(replace(question, most_replicas=most)):
        return allowed
    larger = range(max(question.least_replicas, allowed + 1), most + 1)
    return next(n for n in larger if _reaches(replace(question, most_replicas=n)))


def _reaches(question: Question) -> bool:
    offers = question.offers
    short = question.least_replicas - sum(o.replicas * o.low for o in offers)
    if sum(o.replicas * (o.high - o.low) for o in offers) < short:
        return False
    singles = sum(o.high - o.low for o in offers if o.replicas == 1)
    if question.budget_per_hour is None and 0 < short <= singles:
        return question.least_replicas <= question.most_replicas
    floor = nearest_floor(question)
    return replicas(question, floor) >= question.least_replicas and within(question, floor)


def _parts(question: Question, index: int, span: int) -> list[tuple[int, int]]:
    """Counts of one offer's units: 1, 2, 4, ... and the rest, whose sums are all there are."""
    offer = question.offers[index]
    left = min(offer.high - offer.low, span // offer.replicas)
    parts, count = [], 1
    while left > 0:
        parts.append((index, min(count, left)))
        left -= parts[-1][1]
        count *= 2
    return parts
