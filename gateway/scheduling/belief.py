"""How far a scraped signal moves a choice: less when it is old, not at all when it is missing.

A score that rests on scraped metrics passes through ``believed``; a score that rests on this
gateway's own accounting does not need to. Candidates whose every signal is stale are dropped from
preference before scoring (``profile.preferred``), unless all are stale.
"""

from __future__ import annotations

import numpy as np

from loadstar.arrays import Floats, Ints, kernel

NEUTRAL = 0.5
"""The score of everybody when nothing is known of anybody: no preference either way."""


@kernel
def believed(scores: Floats, confidence: Floats) -> Floats:
    """Scores moved towards the worst known one by as much as they are not believed.

    ``scores`` are 0..1, NaN where the signal is unknown; ``confidence`` is 0..1 per candidate.
    A known score s becomes c*s + (1-c)*worst, an unknown one becomes worst: neither absence nor
    age can ever win. When no candidate is both known and believed, all get ``NEUTRAL``.
    """
    worst = np.inf
    for i in range(scores.size):
        if confidence[i] > 0.0 and scores[i] < worst:  # NaN is never less
            worst = scores[i]
    result = np.empty(scores.size)
    for i in range(scores.size):
        if worst == np.inf:
            result[i] = NEUTRAL
        elif np.isnan(scores[i]):
            result[i] = worst
        else:
            trust = min(max(confidence[i], 0.0), 1.0)
            result[i] = trust * scores[i] + (1.0 - trust) * worst
    return result


@kernel
def least_is_best(column: Floats, slots: Ints, confidence: Floats) -> Floats:
    """(max - x) / (max - min) over the candidates' rows of ``column``, then ``believed``.

    All equal is 1.0 for all, as in the reference's ``queue-scorer``. The unknown take no part in
    max and min.
    """
    low, high = np.inf, -np.inf
    scores = np.empty(slots.size)
    for i in range(slots.size):
        value = column[slots[i]]
        scores[i] = value
        if confidence[i] > 0.0 and not np.isnan(value):
            low = min(low, value)
            high = max(high, value)
    for i in range(slots.size):
        if np.isnan(scores[i]) or high < low:
            scores[i] = np.nan
        elif high == low:
            scores[i] = 1.0
        else:
            # Of no confidence, so outside of low..high: it is not believed, but kept a score.
            scores[i] = min(max((high - scores[i]) / (high - low), 0.0), 1.0)
    return believed(scores, confidence)
