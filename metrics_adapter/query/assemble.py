"""What many pages said -> columns, without a Python object for each series. Pure.

A page's numbers stay together as one small array (``Page``) until the next comes; putting those of
5,000 pods in the order of columns is a few milliseconds of sorting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loadstar.kube.resources import Resource
from metrics_adapter.query.ask import NO_LABELS
from metrics_adapter.query.columns import (
    Buckets,
    Column,
    Floats,
    Indices,
    Objects,
    objects,
)
from metrics_adapter.query.inventory import Key

MOST_WORDS = 20_000
"""Distinct sets of labels of one source; a series with another one is told without labels."""


class Words:
    """Sets of labels and names of metrics, each kept once and called by a number."""

    def __init__(self) -> None:
        self.labels: list[Mapping[str, str]] = [NO_LABELS]
        self._label_ids: dict[tuple[tuple[str, str], ...], int] = {(): 0}
        self.metrics: list[str] = []
        self._metric_ids: dict[str, int] = {}

    def label_id(self, labels: Mapping[str, str]) -> int:
        words = tuple(sorted(labels.items()))
        found = self._label_ids.get(words)
        if found is None:
            if len(self.labels) >= MOST_WORDS:
                return 0
            found = self._label_ids[words] = len(self.labels)
            self.labels.append(labels)
        return found

    def metric_id(self, name: str) -> int:
        found = self._metric_ids.get(name)
        if found is None:
            found = self._metric_ids[name] = len(self.metrics)
            self.metrics.append(name)
        return found


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram of a page: metric, labels, and what fell into each bucket."""

    metric: int
    labels: int
    window: int
    bounds: Floats
    counts: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Page:
    """What one page said of one object."""

    key: Key
    uid: str
    at: float
    metric: NDArray[np.int16]
    labels: Indices
    window: Indices
    value: Floats
    distributions: Sequence[Distribution] = field(default=())


def assemble(
    resource: Resource, pages: Sequence[Page], words: Words
) -> dict[tuple[str, str], tuple[Column, ...]]:
    """The columns of ``pages``. Of two about one object both count."""
    if not pages:
        return {}
    ordered = sorted(pages, key=lambda page: (page.key, page.uid))
    index: dict[Key, int] = {}
    uids: list[str] = []
    place = np.empty(len(ordered), np.int32)
    for position, page in enumerate(ordered):
        if page.key not in index:
            index[page.key] = len(index)
            uids.append(page.uid)
        place[position] = index[page.key]
    about = objects(resource, tuple(index), uids)
    labels = tuple(words.labels)
    sizes = np.array([len(page.value) for page in ordered])
    at = np.array([page.at for page in ordered])
    metric = np.concatenate([page.metric for page in ordered])
    label = np.concatenate([page.labels for page in ordered])
    rows = np.repeat(place, sizes)
    order = np.lexsort((label, rows, metric))
    metric, rows, label = metric[order], rows[order].astype(np.int32), label[order]
    value = np.concatenate([page.value for page in ordered])[order]
    window = np.concatenate([page.window for page in ordered])[order]
    stamps = np.repeat(at, sizes)[order]
    found: dict[tuple[str, str], tuple[Column, ...]] = {}
    edges = np.flatnonzero(np.diff(metric)) + 1
    for part in np.split(np.arange(len(metric)), edges):
        if len(part):
            name = words.metrics[int(metric[part[0]])]
            cut = slice(int(part[0]), int(part[-1]) + 1)
            found[str(resource), name] = (
                Column(about, rows[cut], label[cut], labels, value[cut], stamps[cut], window[cut]),
            )
    for key, columns in _distributions(resource, ordered, place, about, labels, words).items():
        found[key] = (*found.get(key, ()), *columns)
    return found


def _distributions(
    resource: Resource,
    pages: Sequence[Page],
    place: Indices,
    about: Objects,
    labels: tuple[Mapping[str, str], ...],
    words: Words,
) -> dict[tuple[str, str], tuple[Column, ...]]:
    """A column for each metric and set of bounds: engines differ in theirs."""
    grouped: dict[tuple[int, bytes], list[tuple[int, float, Distribution]]] = {}
    for position, page in enumerate(pages):
        for distribution in page.distributions:
            kind = distribution.metric, distribution.bounds.tobytes()
            entry = int(place[position]), page.at, distribution
            grouped.setdefault(kind, []).append(entry)
    found: dict[tuple[str, str], tuple[Column, ...]] = {}
    for (metric, _), entries in grouped.items():
        key = str(resource), words.metrics[metric]
        made = Column(
            about,
            np.array([row for row, _, _ in entries], np.int32),
            np.array([d.labels for _, _, d in entries], np.int32),
            labels,
            np.full(len(entries), np.nan),
            np.array([at for _, at, _ in entries]),
            np.array([d.window for _, _, d in entries], np.int32),
            Buckets(entries[0][2].bounds, np.stack([d.counts for _, _, d in entries])),
        )
        found[key] = (*found.get(key, ()), made)
    return found
