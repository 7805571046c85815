"""From columns to numbers aligned with the objects asked for. Pure; ``answer`` calls it.

Every array here has a place for each object of the question, NaN where nothing fresh is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from loadstar.kube.selectors import EVERYTHING, Requirement, Selector
from metrics_adapter.adapter_config import Fold
from metrics_adapter.query.columns import WHENEVER, Bools, Column, Floats, Indices
from metrics_adapter.query.folding import earliest, fold, quantile, widest
from metrics_adapter.query.inventory import Key

QUANTILE_LABEL = "quantile"


class Target(NamedTuple):
    """An object that is asked for."""

    key: Key
    uid: str = ""
    born_at: float = -np.inf
    """Samples from before are of another object of the same name."""


class Aligned(NamedTuple):
    """One number for each target."""

    value: Floats
    at: Floats
    window: Indices

    @classmethod
    def nothing(cls, count: int) -> Aligned:
        return cls(np.full(count, np.nan), np.full(count, np.inf), np.full(count, -1, np.int32))

    def or_else(self, other: Aligned) -> Aligned:
        """Where this knows nothing, ``other``."""
        unknown = np.isnan(self.value)
        return Aligned(
            np.where(unknown, other.value, self.value),
            np.where(unknown, other.at, self.at),
            np.where(unknown, other.window, self.window),
        )

    def fresher(self, other: Aligned) -> Aligned:
        """At each place the younger of the two; of the same age, this."""
        take = np.isnan(self.value) | (~np.isnan(other.value) & (other.at > self.at))
        return Aligned(
            np.where(take, other.value, self.value),
            np.where(take, other.at, self.at),
            np.where(take, other.window, self.window),
        )


@dataclass(slots=True)
class Seen:
    """What there was besides: it becomes the reason of a refusal."""

    newest: float = -np.inf
    """Unix seconds of the youngest sample that was too old."""
    other_labels: bool = False
    """Series that the metric selector did not match."""
    pods: tuple[int, int] | None = None
    """How many pods of an object are known, of how many, where those are too few."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When is asked, and how old may be."""

    now: float
    staleness: float

    def fresh(self, at: Floats) -> Bools:
        """Neither too old nor from a clock that is far ahead."""
        fresh: Bools = np.abs(self.now - at) <= self.staleness
        return fresh


def without_quantile(selector: Selector) -> tuple[Selector, tuple[Requirement, ...]]:
    """``selector`` less what it asks of the quantile, and that."""
    asked = tuple(r for r in selector.requirements if r.key == QUANTILE_LABEL)
    if not asked:
        return selector, ()
    return Selector(tuple(r for r in selector.requirements if r.key != QUANTILE_LABEL)), asked


def rows_of(
    columns: Iterable[Column],
    targets: Sequence[Target],
    selector: Selector,
    moment: Moment,
    seen: Seen,
) -> Iterable[tuple[Column, Indices, Indices, Floats]]:
    """Of each column: the rows that count, the target of each, and when it was sampled."""
    for column in columns:
        places = places_of(column, targets)
        place = places[column.row_object]
        matching = place >= 0
        if selector.requirements:
            matches = np.array([selector.matches(labels) for labels in column.labels], bool)
            chosen = matching & matches[column.row_labels]
            seen.other_labels = seen.other_labels or bool((matching & ~chosen).any())
            matching = chosen
        at = np.where(column.at == WHENEVER, moment.now, column.at)
        born = np.array([target.born_at for target in targets], np.float64)
        if np.isfinite(born).any():
            known = np.array([bool(uid) for uid in column.objects.uids], bool)[column.row_object]
            # Where the source names the very pod, its word is better than a comparison of clocks.
            matching &= known | (at >= born[np.maximum(place, 0)])
        fresh = moment.fresh(at)
        old = matching & ~fresh
        if old.any():
            seen.newest = max(seen.newest, float(at[old].max()))
            # Of an object with one series too old the others are not all there is.
            spoiled = np.zeros(len(targets), bool)
            spoiled[place[old]] = True
            matching &= ~spoiled[np.maximum(place, 0)]
        rows = np.flatnonzero(matching).astype(np.int32)
        if len(rows):
            yield column, rows, place[rows].astype(np.int32), at[rows]


def scalars(
    columns: Iterable[Column],
    targets: Sequence[Target],
    selector: Selector,
    how: Fold,
    moment: Moment,
    seen: Seen,
) -> Aligned:
    """The series of each target, folded; from whichever source is the freshest."""
    best = Aligned.nothing(len(targets))
    for column, rows, place, at in rows_of(columns, targets, selector, moment, seen):
        value = column.value[rows]
        good = np.isfinite(value)
        value, place, at, window = value[good], place[good], at[good], column.window[rows][good]
        best = best.fresher(
            Aligned(
                fold(value, place, len(targets), how),
                earliest(at, place, len(targets)),
                widest(window, place, len(targets)),
            )
        )
    return best


def latencies(
    columns: Iterable[Column],
    targets: Sequence[Target],
    groups: tuple[Indices, int],
    selector: Selector,
    share: float,
    moment: Moment,
    seen: Seen,
) -> Aligned:
    """A quantile for each group of targets, over all that their histograms hold together."""
    group, count = groups
    best = Aligned.nothing(count)
    for column, rows, place, at in rows_of(columns, targets, selector, moment, seen):
        if column.buckets is None:
            continue
        whose = group[place]
        sums = np.zeros((count, len(column.buckets.bounds)))
        np.add.at(sums, whose, column.buckets.counts[rows])
        best = best.fresher(
            Aligned(
                quantile(column.buckets.bounds, sums, share),
                earliest(at, whose, count),
                widest(column.window[rows], whose, count),
            )
        )
    return best


def places_of(column: Column, targets: Sequence[Target]) -> Indices:
    """For each object of ``column``: its target, or -1."""
    places = np.full(len(column.objects.keys), -1, np.int32)
    index: Mapping[Key, int] = column.objects.index
    uids = column.objects.uids
    for position, target in enumerate(targets):
        found = index.get(target.key)
        if found is not None and (not target.uid or not uids[found] or uids[found] == target.uid):
            places[found] = position
    return places


__all__ = [
    "EVERYTHING",
    "Aligned",
    "Moment",
    "Seen",
    "Target",
    "latencies",
    "places_of",
    "scalars",
    "without_quantile",
]
