"""What one source knows of one metric: arrays with a row for each series. Immutable.

100,000 samples are 3 MB like this, where objects would be 40. Rows are sorted by object, then
labels, so that every replica reads and tells them in the same order. Sources make them, ``gather``
reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loadstar.kube.resources import Resource
from metrics_adapter.query.ask import NO_LABELS
from metrics_adapter.query.inventory import Key

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int32]
Bools: TypeAlias = NDArray[np.bool_]

WHENEVER = np.inf
"""The time of a sample that is true whenever it is asked for."""


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects that rows are about."""

    resource: Resource
    keys: tuple[Key, ...]
    uids: tuple[str, ...]
    """Empty where the source does not know it."""
    index: Mapping[Key, int]
    labels: tuple[Mapping[str, str], ...]
    """Those that count where nobody else tells an object's; empty if the source does not either."""


def objects(
    resource: Resource,
    keys: Sequence[Key],
    uids: Sequence[str] = (),
    labels: Sequence[Mapping[str, str]] = (),
) -> Objects:
    """``keys``, each once."""
    return Objects(
        resource,
        tuple(keys),
        tuple(uids) or ("",) * len(keys),
        {key: position for position, key in enumerate(keys)},
        tuple(labels) or (NO_LABELS,) * len(keys),
    )


class Buckets(NamedTuple):
    """Histograms: how many observations fell into each bucket, a row for each series."""

    bounds: Floats
    """Upper bounds; the last is infinite."""
    counts: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of one source."""

    objects: Objects
    row_object: Indices
    row_labels: Indices
    labels: tuple[Mapping[str, str], ...]
    value: Floats
    at: Floats
    """Unix seconds; ``WHENEVER`` is always now."""
    window: Indices
    """Seconds; -1 is none."""
    buckets: Buckets | None = None
    """Of latencies, whose ``value`` is NaN."""


class Row(NamedTuple):
    """One series of one object."""

    key: Key
    labels: Mapping[str, str]
    value: float
    at: float
    window: int = -1
    uid: str = ""
    counts: Sequence[float] | None = None


NO_WINDOW = -1


@dataclass(frozen=True, slots=True)
class Published:
    """Everything one source knows, by resource and metric."""

    columns: Mapping[tuple[str, str], tuple[Column, ...]] = field(default_factory=dict)


def column(resource: Resource, rows: Iterable[Row], bounds: Sequence[float] = ()) -> Column:
    """``rows`` of one metric as arrays; with ``bounds`` they are histograms."""
    ordered = sorted(rows, key=lambda row: (row.key, sorted(row.labels.items())))
    keys: dict[Key, int] = {}
    uids: list[str] = []
    shown: list[Mapping[str, str]] = []
    known: dict[tuple[tuple[str, str], ...], int] = {}
    distinct: list[Mapping[str, str]] = []
    row_object = np.empty(len(ordered), np.int32)
    row_labels = np.empty(len(ordered), np.int32)
    for position, row in enumerate(ordered):
        if row.key not in keys:
            keys[row.key] = len(keys)
            uids.append(row.uid)
            shown.append(row.labels)
        row_object[position] = keys[row.key]
        words = tuple(sorted(row.labels.items()))
        if words not in known:
            known[words] = len(distinct)
            distinct.append(row.labels or NO_LABELS)
        row_labels[position] = known[words]
    buckets = None
    if len(bounds):
        buckets = Buckets(
            np.array(bounds, np.float64),
            np.array([row.counts for row in ordered], np.float32).reshape(len(ordered), -1),
        )
    return Column(
        objects(resource, list(keys), uids, shown),
        row_object,
        row_labels,
        tuple(distinct),
        np.array([row.value for row in ordered], np.float64),
        np.array([row.at for row in ordered], np.float64),
        np.array([row.window for row in ordered], np.int32),
        buckets,
    )
