"""How far an endpoint's scraped numbers can be believed, from their age alone. Pure."""

from __future__ import annotations

import numpy as np

from loadstar.arrays import Floats, kernel

FRESH_SHARE = 0.5
"""Of the staleness threshold: an idle endpoint is scraped at least this often (``scrape_plan``),
so an age below it says nothing against the numbers."""


@kernel
def confidence(observed_at: Floats, now: float, staleness_threshold: float) -> Floats:
    """0..1 for each moment in ``observed_at`` (seconds, -inf is never).

    1 up to half the threshold, then in a straight line down to 0 at the threshold, so that an
    endpoint which stops reporting loses its say gradually and the pool does not jump. Never rises
    with age. A threshold of 0 or less believes only what is not older than ``now``.
    """
    fresh = FRESH_SHARE * staleness_threshold
    span = staleness_threshold - fresh
    believed = np.empty(observed_at.shape[0])
    for i in range(observed_at.shape[0]):
        age = now - observed_at[i]
        if age <= max(fresh, 0.0):
            believed[i] = 1.0
        elif age < staleness_threshold:
            believed[i] = (staleness_threshold - age) / span
        else:
            believed[i] = 0.0  # never observed, and NaN, come here
    return believed
