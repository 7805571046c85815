"""How one mix gives way to another: nothing goes before what replaces it is Ready, and what is
bought is paid for beside what has not gone yet.

Pure. The planner passes what it would like; what comes back is at least what must stay, and never
breaks a bound or the budget to keep it.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoscaler.sizing.offers import (
    SLACK,
    Question,
    cost_per_hour,
    dearest_first,
    shortfall,
    within,
)


def held_back(question: Question, wanted: Sequence[int], ready: Sequence[int]) -> list[int]:
    """``wanted``, raised towards what is there where less would be ready than is needed now.

    Units of the dearest capacity go first, as far as the rest that is ready carries the need.
    """
    offers = question.offers
    kept = [max(w, o.current) for w, o in zip(wanted, offers, strict=True)]
    order = dearest_first(question)
    for index in order:
        while kept[index] > wanted[index]:
            kept[index] -= 1
            left = sum(o.capacity * min(kept[i], ready[i]) for i, o in enumerate(offers))
            if left < question.need - SLACK and kept[index] < ready[index]:
                kept[index] += 1
                break
    for index in order:
        while kept[index] > wanted[index] and not within(question, kept):
            kept[index] -= 1
    return kept


def beside(question: Question, wanted: Sequence[int], there: Sequence[int]) -> list[int]:
    """``wanted``, less of what is new, so that the budget also pays for what is ``there``.

    A unit costs until it is gone, whoever still wants it. The dearest capacity is bought last.
    """
    units = list(wanted)
    if question.budget_per_hour is None:
        return units
    paid = [max(u, t) for u, t in zip(units, there, strict=True)]
    over = cost_per_hour(question, paid) - question.budget_per_hour
    for index in dearest_first(question):
        price = question.offers[index].price_per_hour
        while over > SLACK and units[index] > there[index] and price > 0:
            units[index] -= 1
            over -= price
    return units


def making_room(
    question: Question,
    units: Sequence[int],
    wanted: Sequence[int],
    *,
    ready: Sequence[int],
    there: Sequence[int],
) -> list[int]:
    """``units``, less one that ``wanted`` does without, where the budget lets nothing new beside.

    Only where ``wanted`` covers more than what there is, and only while nothing starts or leaves:
    so no more than one unit at a time is missed for what comes instead.
    """
    current = [offer.current for offer in question.offers]
    rests = all(
        c <= r and t <= c for c, r, t in zip(current, ready, there, strict=True)
    ) and current == list(units)
    made = list(units)
    if rests and shortfall(question, current) > shortfall(question, wanted) + SLACK:
        for index in dearest_first(question):
            if made[index] > wanted[index]:
                made[index] -= 1
                break
    return made
