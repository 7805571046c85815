"""``context-length-aware``: endpoints labelled with a range of context lengths that fits.

Both a scorer and, when asked to, a filter. The length is the prompt's estimated tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, NamedTuple

import numpy as np

from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.sizes import prompt_tokens
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools, Floats
from loadstar.config.load import NOT_EMPTY

RANGE_LABEL = "llm-d.ai/context-length-range"

NO_LABEL = 0.5
UNREADABLE = 0.0
FALLBACK = 0.3
"""Every fit is above, every near miss at most this."""
TIGHT, ROOMY = 0.7, 0.3
"""How much of a fit is the range's narrowness, and how much the room above the prompt."""
WIDE_TOKENS = 10_000.0
FAR_TOKENS = 1_000.0

_RANGE = re.compile(r"\s*(\d{1,12})\s*-\s*(\d{1,12})\s*", re.ASCII)


class Range(NamedTuple):
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class ContextLengthParameters:
    label: Annotated[str, NOT_EMPTY] = RANGE_LABEL
    enable_filtering: bool = False
    """Drop endpoints whose range does not fit; those without the label stay."""


@dataclass(frozen=True, slots=True)
class ContextLength:
    """In range: 0.3 + 0.7 * fit; out of range: 0.3 / (1 + distance / 1000); no label: 0.5."""

    label: str = RANGE_LABEL

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        tokens = prompt_tokens(cycle.request)
        return np.array([self._score(e.labels, tokens) for e in candidates.endpoints], np.float64)

    def _score(self, labels: Mapping[str, str], tokens: int) -> float:
        written = labels.get(self.label)
        if written is None:
            return NO_LABEL
        span = range_of(written)
        return UNREADABLE if span is None else suitability(span, tokens)


@dataclass(frozen=True, slots=True)
class ContextLengthFilter(ContextLength):
    """Scores, and keeps only endpoints whose range holds the prompt."""

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        tokens = prompt_tokens(cycle.request)
        return np.array([self._fits(e.labels, tokens) for e in candidates.endpoints], np.bool_)

    def _fits(self, labels: Mapping[str, str], tokens: int) -> bool:
        written = labels.get(self.label)
        if written is None:
            return True
        span = range_of(written)
        return span is not None and span.low <= tokens <= span.high


def context_length(parameters: ContextLengthParameters, wiring: Wiring) -> ContextLength:
    made = ContextLengthFilter if parameters.enable_filtering else ContextLength
    return made(parameters.label)


@lru_cache(maxsize=1024)
def range_of(written: str) -> Range | None:
    """``0-2048`` as a Range; None if it is not one."""
    match = _RANGE.fullmatch(written)
    if match is None:
        return None
    low, high = int(match[1]), int(match[2])
    return Range(low, high) if low <= high else None


def suitability(span: Range, tokens: int) -> float:
    """How well a prompt of ``tokens`` suits an endpoint made for ``span``, 0..1."""
    if span.low <= tokens <= span.high:
        width = span.high - span.low
        if width == 0:
            return 1.0
        fit = TIGHT / (1.0 + width / WIDE_TOKENS) + ROOMY * (span.high - tokens) / width
        return FALLBACK + fit * (1.0 - FALLBACK)
    distance = tokens - span.high if tokens > span.high else span.low - tokens
    return FALLBACK / (1.0 + distance / FAR_TOKENS)
