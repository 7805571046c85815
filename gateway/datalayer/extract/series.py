"""Several series -> one number: the sums, means and newest that every extractor is made of.

One endpoint may be many engines (data-parallel ranks) or serve many models, each with its own
series. A number that cannot be trusted (NaN, negative, out of range, or one line of its family
unreadable) makes the whole signal None: a sum over what could be read would look like less load.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from gateway.datalayer.state import LoraState
from loadstar.signals.exposition import Sample, samples

Choose: TypeAlias = Callable[[Sequence[Sample]], Sequence[Sample]]
"""Which series of a family count."""

# Shares are quotients of floats: a full cache may read 1.0000000000000002.
_ROUNDING = 1e-6
_MOST_DIGITS = 15


def every(series: Sequence[Sample]) -> Sequence[Sample]:
    """All of them count."""
    return series


def labelled(name: str, value: str) -> Choose:
    """Those with label ``name`` equal to ``value``."""
    return lambda series: [sample for sample in series if sample.labels.get(name) == value]


def total(page: bytes, *names: bytes, choose: Choose = every) -> float | None:
    """The sum over the series of the first of ``names`` that the page has."""
    values = _values(page, names, choose)
    return math.fsum(values) if values and all(_is_count(value) for value in values) else None


def share(page: bytes, *names: bytes, choose: Choose = every) -> float | None:
    """The mean, 0..1, over the series of the first of ``names`` that the page has.

    Unweighted: ranks of one endpoint are alike, and their caches are equally large.
    """
    values = _values(page, names, choose)
    if not values or not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in values):
        return None
    return min(max(math.fsum(values) / len(values), 0.0), 1.0)


def positive(page: bytes, name: bytes, choose: Choose = every) -> float | None:
    """The sum over the series if it is more than zero: a size, of which zero says 'not known'."""
    return total(page, name, choose=choose) or None


def first_positive(page: bytes, name: bytes, choose: Choose = every) -> float | None:
    """The first series' value, for what is the same in all of them."""
    values = _values(page, (name,), choose)
    return values[0] if values and _is_count(values[0]) and values[0] > 0 else None


def cache_sizes(
    page: bytes, name: bytes, block_tokens: str, blocks: str, choose: Choose = every
) -> tuple[float | None, float | None]:
    """(blocks of all ranks, tokens in one block), from two labels of an info gauge."""
    found = samples(page, name)
    series = choose(found.samples)
    if found.unreadable or not series:
        return None, None
    counts = [_size(sample.labels.get(blocks, "")) for sample in series]
    known = [count for count in counts if count is not None]
    return (
        math.fsum(known) if len(known) == len(counts) else None,
        _size(series[0].labels.get(block_tokens, "")),
    )


def newest_lora(page: bytes, name: bytes, choose: Choose = every) -> LoraState | None:
    """The adapters that the series with the largest value names.

    Each set of adapters is a series of its own, its value the time when it was last true, and
    old ones stay on the page.
    """
    series = [sample for sample in choose(samples(page, name).samples) if _is_count(sample.value)]
    if not series:
        return None
    labels = max(series, key=lambda sample: sample.value).labels
    return LoraState(
        running=_names(labels.get("running_lora_adapters", "")),
        waiting=_names(labels.get("waiting_lora_adapters", "")),
        max_adapters=int(_size(labels.get("max_lora", "")) or 0),
    )


def _values(page: bytes, names: Iterable[bytes], choose: Choose) -> list[float]:
    """The values of the first family that is there; nothing if a line of it is unreadable."""
    for name in names:
        found = samples(page, name)
        if found.unreadable:
            return []
        if found.samples:
            return [sample.value for sample in choose(found.samples)]
    return []


def _is_count(value: float) -> bool:
    return 0 <= value < math.inf


def _size(text: str) -> float | None:
    """A whole number above zero; vLLM writes ``None`` before it knows."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        return None
    return float(text) or None


def _names(listed: str) -> frozenset[str]:
    return frozenset(name.strip() for name in listed.split(",") if name.strip())
