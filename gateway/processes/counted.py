"""What one process has counted, as text and back: each name once, each series as its numbers.

A page of metrics says the same in fifty times the space: every bucket with all its labels, under
every name it ever had. That is made of the sum, by whoever shows it (``metrics_page``). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from loadstar.telemetry.metrics import Counter, Families, Family, Gauge, Histogram

LARGEST_OF = frozenset(
    {
        "llm_d_epp_info",
        "llm_d_epp_prefix_indexer_size",
        "loadstar_gateway_endpoints_avoided",
        "loadstar_gateway_reload_refused",
        "loadstar_gateway_response_sample_share",
    }
)
"""Gauges of which the largest is shown, not the sum: every process says the same."""

Numbers: TypeAlias = Sequence[float]
"""A counter's or gauge's value; a histogram's count of each bucket, then the sum."""
Counted: TypeAlias = Mapping[str, Mapping[tuple[str, ...], Numbers]]
"""Family -> label values -> numbers."""

NO_SERIES: Mapping[tuple[str, ...], Numbers] = MappingProxyType({})
NOTHING: Counted = MappingProxyType({})


def counted(families: Families) -> Counted:
    """Every series of ``families``. Safe beside the thread that writes them."""
    return {
        family.name: {values: _numbers(series) for values, series in list(family.series.items())}
        for family in families.each()
    }


def written(found: Counted) -> Any:
    """``found`` for JSON: the label values, then rows of where they stand and the numbers."""
    places: dict[str, int] = {}
    rows = {
        name: [
            ([places.setdefault(value, len(places)) for value in values], numbers)
            for values, numbers in series.items()
        ]
        for name, series in found.items()
    }
    return list(places), rows


def unwritten(said: Any) -> Counted:
    """What ``written`` was given; JSON has no NaN, and says null."""
    names, rows = said
    return {
        name: {
            tuple(names[place] for place in places): [
                math.nan if number is None else number for number in numbers
            ]
            for places, numbers in series
        }
        for name, series in rows.items()
    }


def add(total: Families, more: Counted, *, dead: bool = False) -> None:
    """Add ``more`` to ``total``; of a dead process only what never falls.

    What the dead have counted folds into ``other`` where a family is full: they may be many.
    """
    for family in total.each():
        if dead and isinstance(family.make(), Gauge):
            continue
        for values, numbers in more.get(family.name, NO_SERIES).items():
            if dead:
                series = family.labels(*values)
            else:
                series = family.series.setdefault(values, family.make())
            _add(family, series, numbers)


def _numbers(series: Counter | Gauge | Histogram) -> Numbers:
    if isinstance(series, Histogram):
        return [*series.counts, series.sum]
    return [series.value]


def _add(family: Family[Any], series: Counter | Gauge | Histogram, numbers: Numbers) -> None:
    if isinstance(series, Histogram):
        *counts, total = numbers
        series.counts = [have + int(more) for have, more in zip(series.counts, counts, strict=True)]
        series.sum += total
    elif family.name in LARGEST_OF:
        series.value = max(series.value, numbers[0])
    else:
        series.value += numbers[0]
