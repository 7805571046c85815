"""What may be given back now: nothing whose replacement is not Ready yet.

Pure. The planner passes what it would like; what comes back is at least what must stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoscaler.sizing.offers import SLACK, Question


def held_back(
    question: Question, wanted: Sequence[int], current: Sequence[int], ready: Sequence[int]
) -> list[int]:
    """``wanted``, raised towards ``current`` where less would be ready than is needed now.

    Units of the dearest capacity go first, as far as the rest that is ready carries ``need``.
    """
    kept = [max(w, c) for w, c in zip(wanted, current, strict=True)]
    order = sorted(
        range(len(kept)),
        key=lambda i: (
            -question.offers[i].price_per_hour / max(question.offers[i].capacity, SLACK),
            question.offers[i].pool,
        ),
    )
    for index in order:
        while kept[index] > wanted[index]:
            kept[index] -= 1
            left = sum(
                offer.capacity * min(kept[i], ready[i]) for i, offer in enumerate(question.offers)
            )
            if left < question.need - SLACK and kept[index] < ready[index]:
                kept[index] += 1
                break
    return kept
