"""How much the counters of one page have grown, page after page. Memory, bounded; no IO.

A counter that fell was reset, and counts from zero; of a histogram all buckets are reset together.
One that a page has for the first time has grown from zero since the page before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from metrics_adapter.query.columns import Floats
from metrics_adapter.sources.page_layout import Cell, Layout, Layouts, Segment

STEPS: Final = 5
"""Readings of its counters that are kept of a page, a fifth of the window apart."""
LEAST_SPAN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Kept:
    at: float
    layout: Layout
    total: Floats
    """Growth since the first page, resets made good."""


class Grown(NamedTuple):
    """What one series has grown by within a window."""

    segment: Segment
    window: float
    seconds: float
    """How much of the window has been seen."""
    by: Floats
    """One number, or one for each bucket (those below it included)."""


class PageGrowth:
    """What is remembered of one page's counters."""

    def __init__(self, windows: Sequence[float], layouts: Layouts) -> None:
        """``windows`` in seconds."""
        self._windows = sorted(windows)
        self._layouts = layouts
        self._raw: tuple[Layout, Floats] | None = None
        self._last: _Kept | None = None
        self._kept: list[_Kept] = []

    def read(self, counters: Mapping[Cell, float], at: float) -> Iterator[Grown]:
        """Growth of each series within each window that ends at ``at``."""
        layout = self._layouts.of(tuple(sorted(counters)))
        raw = np.array([counters[cell] for cell in layout.cells], np.float64)
        newest = _Kept(at, layout, self._total(layout, raw))
        self._raw = layout, raw
        older = list(self._kept)
        self._keep(newest)
        for window in self._windows:
            base = next((kept for kept in reversed(older) if kept.at <= at - window), None)
            base = base or (older[0] if older else None)
            if base is None or at - base.at < LEAST_SPAN_SECONDS:
                continue
            by = newest.total - _moved(base, layout)
            for segment in layout.segments:
                yield Grown(segment, window, at - base.at, by[segment.start : segment.end])

    def _total(self, layout: Layout, raw: Floats) -> Floats:
        if self._raw is None or self._last is None:
            return np.zeros(len(raw))
        before_layout, before_raw = self._raw
        last = _moved(_Kept(0.0, before_layout, before_raw), layout)
        fell = np.zeros(len(raw) + 1, bool)
        fell[layout.series[raw < last]] = True
        step = np.where(fell[layout.series], raw, raw - last)
        return _moved(self._last, layout) + step

    def _keep(self, newest: _Kept) -> None:
        self._last = newest
        widest = self._windows[-1] if self._windows else 0.0
        if not self._kept or newest.at >= self._kept[-1].at + widest / STEPS:
            self._kept.append(newest)
        while len(self._kept) > 1 and self._kept[1].at <= newest.at - widest:
            del self._kept[0]


def _moved(kept: _Kept, layout: Layout) -> Floats:
    """The totals of ``kept`` where ``layout`` has them; zero for what was not there."""
    if kept.layout is layout:
        return kept.total
    moved = np.zeros(len(layout.cells))
    for cell, index in layout.place.items():
        before = kept.layout.place.get(cell)
        if before is not None:
            moved[index] = kept.total[before]
    return moved
