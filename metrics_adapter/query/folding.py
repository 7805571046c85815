"""Many numbers to one, for many groups at once; and quantiles of histograms. Pure arithmetic."""

from __future__ import annotations

import numpy as np

from metrics_adapter.adapter_config import QUANTILES, Fold
from metrics_adapter.query.columns import Floats, Indices


def fold(values: Floats, group: Indices, groups: int, how: Fold) -> Floats:
    """``values[i]`` belongs to ``group[i]``; the result has a number for each group, or NaN."""
    result = np.full(groups, np.nan)
    if not len(values):
        return result
    counts = np.bincount(group, minlength=groups)
    some = counts > 0
    if how in (Fold.SUM, Fold.AVG):
        sums = np.bincount(group, weights=values, minlength=groups)
        result[some] = sums[some] if how is Fold.SUM else sums[some] / counts[some]
        return result
    if how in (Fold.MIN, Fold.MAX):
        result = np.full(groups, np.inf if how is Fold.MIN else -np.inf)
        (np.minimum if how is Fold.MIN else np.maximum).at(result, group, values)
        return np.where(some, result, np.nan)
    # By group, then value: the quantile of each group is at a known place.
    order = np.lexsort((values, group))
    ranked = values[order]
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    place = QUANTILES[how.value] * (counts - 1)
    low = np.floor(place).astype(np.int64)
    for index in np.flatnonzero(some):
        first = starts[index] + low[index]
        last = min(first + 1, starts[index] + counts[index] - 1)
        share = place[index] - low[index]
        result[index] = ranked[first] + (ranked[last] - ranked[first]) * share
    return result


def earliest(values: Floats, group: Indices, groups: int) -> Floats:
    """The smallest of each group; infinite where there is none."""
    result = np.full(groups, np.inf)
    np.minimum.at(result, group, values)
    return result


def widest(values: Indices, group: Indices, groups: int) -> Indices:
    """The largest of each group; -1 where there is none."""
    result = np.full(groups, -1, np.int32)
    np.maximum.at(result, group, values)
    return result


def quantile(bounds: Floats, counts: Floats, share: float) -> Floats:
    """The ``share`` quantile of each row of ``counts``, as histogram_quantile estimates it.

    Observations lie evenly within a bucket, the first of which begins at zero; what lies beyond
    the last finite bound is told as that bound. NaN where nothing was observed.
    """
    cumulative = np.cumsum(counts, axis=1)
    total = cumulative[:, -1]
    rank = share * total
    index = np.minimum((cumulative < rank[:, None]).sum(axis=1), len(bounds) - 1)
    rows = np.arange(len(counts))
    before = np.where(index > 0, cumulative[rows, np.maximum(index - 1, 0)], 0.0)
    inside = counts[rows, index].astype(np.float64)
    low = np.where(index > 0, bounds[np.maximum(index - 1, 0)], 0.0)
    high = bounds[index]
    with np.errstate(all="ignore"):
        share_inside = np.where(inside > 0, (rank - before) / inside, 1.0)
        value = np.where(np.isinf(high), low, low + (high - low) * share_inside)
    return np.where(total > 0, value, np.nan)
