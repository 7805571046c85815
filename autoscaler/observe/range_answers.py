"""Answers of a Prometheus API to range queries: a value a step, or why there is none. Pure.

What an API answers is named for what to do next: ask for less, ask later, or ask no more until a
person has mended something. Called by ``prometheus``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MOST_VALUE: Final = 1e12
"""What no rate and no length of a request can be."""
_SAID_LETTERS: Final = 300
_TOO_LARGE: Final = (
    "maximum resolution",
    "too many samples",
    "exceeded",
    "too long",
    "timed out",
    "too many points",
)
"""Words of refusals that a shorter span would not meet."""


class NoAnswer(Exception):
    """A question that was not answered; the text is for people."""


class AskLess(NoAnswer):
    """Too much at once, or too slow: half the span may do."""


class AskLater(NoAnswer):
    """The API is not well, or has had enough of us for now."""


class AskNoMore(NoAnswer):
    """A person must mend an address, a right or a selector; the text says which."""


@dataclass(frozen=True, slots=True)
class Span:
    """Instants from ``first_s`` on, ``points`` of them, ``step_s`` apart; Unix seconds."""

    first_s: int
    points: int
    step_s: int

    @property
    def last_s(self) -> int:
        return self.first_s + (self.points - 1) * self.step_s

    def halves(self) -> tuple[Span, Span]:
        """The older and the newer half; ``points`` is at least 2."""
        older = self.points // 2
        return (
            Span(self.first_s, older, self.step_s),
            Span(self.first_s + older * self.step_s, self.points - older, self.step_s),
        )


def refusal(status: int, answer: object) -> NoAnswer:
    """Why an answer of ``status`` (not 200) was none. ``answer`` is its JSON, or None."""
    said = _said(answer) or f"status {status}"
    if status in (401, 403):
        return AskNoMore(
            f"{status}: {said}; name a token that may query (--prometheus-token-file) or the "
            "account's own (--prometheus-google-auth)"
        )
    if 300 <= status < 400 or status in (404, 405):
        return AskNoMore(f"{status}: no Prometheus API at --prometheus-url: {said}")
    if status == 413 or any(words in said for words in _TOO_LARGE):
        return AskLess(said)
    if status == 422 or (status == 503 and _kind(answer) in ("timeout", "canceled")):
        return AskLess(said)
    if status == 429 or status >= 500:
        return AskLater(f"{status}: {said}")
    return AskNoMore(f"{status}: {said}; is --prometheus-selector a list of label matchers?")


def values(answer: object, span: Span) -> NDArray[np.float64]:
    """One value for each instant of ``span``: NaN where there is none, or none that can be.

    Raises AskLater for what is no matrix of at most one series, and for an answer that warns: it
    says that a part of the data did not answer, and a sum of a part is not a smaller sum.
    """
    if not isinstance(answer, Mapping) or answer.get("status") != "success":
        raise AskLater(f"no answer of a Prometheus API: {_said(answer)}")
    warnings = answer.get("warnings")
    if isinstance(warnings, list) and warnings:
        raise AskLater(f"partial data: {str(warnings[0])[:_SAID_LETTERS]}")
    data = answer.get("data")
    result = data.get("result") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or data.get("resultType") != "matrix":
        raise AskLater("the answer to a range query is not a matrix")
    if not isinstance(result, list) or len(result) > 1:
        raise AskLater("more than one series where one was asked for")
    found = np.full(span.points, np.nan)
    for series in result:
        samples = series.get("values") if isinstance(series, Mapping) else None
        if not isinstance(samples, list):
            raise AskLater("a series without values")
        for sample in samples[: span.points]:
            _put(found, span, sample)
    return found


def _put(found: NDArray[np.float64], span: Span, sample: Any) -> None:
    """Write one ``[time, "text"]`` into its place; what has none is left out."""
    try:
        at_s, text = sample
        place = (float(at_s) - span.first_s) / span.step_s
        value = float(text)
    except (TypeError, ValueError):
        return
    if not math.isfinite(place) or not -0.5 <= place < span.points - 0.5:
        return
    if math.isfinite(value) and abs(value) <= MOST_VALUE:
        found[round(place)] = value


def _said(answer: object) -> str:
    """The error in an answer, of Prometheus' form or of Google's."""
    if not isinstance(answer, Mapping):
        return ""
    error = answer.get("error")
    if isinstance(error, Mapping):
        error = error.get("message")
    return "" if error is None else str(error)[:_SAID_LETTERS]


def _kind(answer: object) -> str:
    return str(answer.get("errorType")) if isinstance(answer, Mapping) else ""
