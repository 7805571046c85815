"""What may be given back now: nothing whose replacement is not Ready yet.

Pure. The planner passes what it would like; what comes back is at least what must stay, and never
breaks a bound or the budget to keep it.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoscaler.sizing.offers import SLACK, Question, within


def held_back(question: Question, wanted: Sequence[int], ready: Sequence[int]) -> list[int]:
    """``wanted``, raised towards what is there where less would be ready than is needed now.

    Units of the dearest capacity go first, as far as the rest that is ready carries the need.
    """
    offers = question.offers
    kept = [max(w, o.current) for w, o in zip(wanted, offers, strict=True)]
    order = sorted(range(len(kept)), key=lambda i: (-_value(question, i), offers[i].pool))
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


def _value(question: Question, index: int) -> float:
    offer = question.offers[index]
    return offer.price_per_hour / max(offer.capacity, SLACK)
