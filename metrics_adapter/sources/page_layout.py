"""Which counter of a page stands where in an array. Pure; ``page_growth`` keeps such arrays.

Pages of one engine are alike, so a thousand of them share one layout; what is kept of each is a
few arrays of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metrics_adapter.query.columns import Floats
from metrics_adapter.query.inventory import Key

Labels: TypeAlias = tuple[tuple[str, str], ...]

MOST_LAYOUTS: Final = 1024
ITSELF: Final[Key] = ("", "")
"""Whom a page is about that names nobody. Not the pod's own name: equal pages share a layout."""
NO_BOUND: Final = -1.0
"""In the place of a bucket's bound, of what is one counter."""


class Cell(NamedTuple):
    """One counter of a page: a counter itself, or a bucket of a histogram."""

    metric: int
    about: Key
    labels: Labels
    bound: float


class Segment(NamedTuple):
    """A series: one counter, or the buckets of a histogram side by side."""

    metric: int
    about: Key
    labels: Labels
    start: int
    end: int
    bounds: Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """Which counter stands where in an array. Equal pages share one."""

    cells: tuple[Cell, ...]
    place: Mapping[Cell, int]
    segments: tuple[Segment, ...]
    series: NDArray[np.int64]
    """For each cell the segment that it is of."""


class Layouts:
    """Every layout in use, each once: pages of one engine are alike."""

    def __init__(self) -> None:
        self._known: dict[tuple[Cell, ...], Layout] = {}

    def of(self, cells: tuple[Cell, ...]) -> Layout:
        found = self._known.get(cells)
        if found is None:
            if len(self._known) >= MOST_LAYOUTS:
                self._known.clear()
            found = _layout(cells)
            self._known[cells] = found
        return found


def _layout(cells: tuple[Cell, ...]) -> Layout:
    starts = [i for i, cell in enumerate(cells) if not i or cell[:3] != cells[i - 1][:3]]
    ends = [*starts[1:], len(cells)] if starts else []
    segments = tuple(
        Segment(
            *cells[start][:3], start, end, np.array([c.bound for c in cells[start:end]], np.float64)
        )
        for start, end in zip(starts, ends, strict=True)
    )
    series = np.repeat(
        np.arange(len(segments)), np.array([s.end - s.start for s in segments], np.int64)
    )
    place = {cell: index for index, cell in enumerate(cells)}
    return Layout(cells, place, segments, series.astype(np.int64))
