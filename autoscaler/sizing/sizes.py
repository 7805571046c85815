"""Which numbers of replicas whole units can make, and what gives way where none of them is allowed.

Slices come in fours and nodes in ones, and a pool's lower bound may leave no size between a model's
least and most. Exact, where ``greedy`` goes by price. Pure; called by it and by the planner.
"""

from __future__ import annotations

import math
from dataclasses import replace

from autoscaler.sizing.offers import SLACK, Question, cost_per_hour, replicas, value_order


def cheapest_floor(question: Question) -> list[int] | None:
    """The cheapest units that make ``least_replicas`` or more within bounds and budget.

    None where no number of whole units does.
    """
    offers = question.offers
    units = [offer.low for offer in offers]
    there = replicas(question, units)
    short = max(0, question.least_replicas - there)
    # A unit that may be left out again is left out: nothing beyond one unit too many is looked at.
    span = min(question.most_replicas - there, short + max(o.replicas for o in offers) - 1)
    if span < short:
        return None
    parts = [part for index in range(len(offers)) for part in _parts(question, index, span)]
    paid = [0.0] + [math.inf] * span
    taken: list[list[bool]] = []
    for index, count in parts:
        size, price = count * offers[index].replicas, count * offers[index].price_per_hour
        takes = [False] * (span + 1)
        for total in range(span, size - 1, -1):
            if paid[total - size] + price < paid[total]:
                paid[total], takes[total] = paid[total - size] + price, True
        taken.append(takes)
    best = min(range(short, span + 1), key=lambda total: (paid[total], total))
    if not math.isfinite(paid[best]):
        return None
    for (index, count), takes in zip(reversed(parts), reversed(taken), strict=True):
        if takes[best]:
            units[index] += count
            best -= count * offers[index].replicas
    budget = question.budget_per_hour
    affords = budget is None or cost_per_hour(question, units) <= budget + SLACK
    return units if affords else None


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
    return cheapest_floor(question) is not None


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
