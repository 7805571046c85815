"""One model's past demand, asked of a Prometheus span by span, the newest first. Waits; no sockets.

What came before a refusal is kept: half a history is better than none. ``ask`` is the rim's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoscaler.observe.history import KEPT_MINUTES, History, Series
from autoscaler.observe.past_demand import (
    MINUTE_S,
    PROBE_STEP_S,
    Chunk,
    chunks,
    probe,
    questions,
    rows,
    window_minutes,
)
from autoscaler.observe.range_answers import AskLess, NoAnswer, Span

Ask = Callable[[str, Span], Awaitable[NDArray[np.float64]]]

MOST_QUESTIONS: Final = 400
"""Of one model at one time."""
LEAST_MINUTES: Final = 120
"""A span shorter than this is not halved again: then it is not its length."""


@dataclass(frozen=True, slots=True)
class Past:
    """Minutes from ``first`` (a Unix minute) on; NaN where nothing is known."""

    first: int
    rows: Series
    problem: NoAnswer | None = None
    """Why there is not more."""

    @property
    def minutes(self) -> int:
        """How many are known."""
        return int(np.count_nonzero(~np.isnan(self.rows[:, 0])))


class Recall:
    """Asks for one model."""

    def __init__(
        self, ask: Ask, *, selector: str, within_s: float, kept_minutes: int = KEPT_MINUTES
    ) -> None:
        """``within_s`` bounds all questions of one call together."""
        self._ask = ask
        self._selector = selector
        self._within_s = within_s
        self._kept = kept_minutes
        self._left = 0

    async def past(
        self, model: str, known: History, now_s: float, *, input_tokens: float, output_tokens: float
    ) -> Past:
        """The minutes before ``now_s`` that ``known`` lacks. Never raises NoAnswer."""
        now_minute = int(now_s // MINUTE_S)
        first = now_minute - self._kept
        found = np.full((self._kept, 3), np.nan)
        self._left = MOST_QUESTIONS
        problem: NoAnswer | None = None
        try:
            async with asyncio.timeout(self._within_s):
                hours = -(-self._kept * MINUTE_S // PROBE_STEP_S) + 1
                last_s = int(now_s) // PROBE_STEP_S * PROBE_STEP_S + PROBE_STEP_S
                probed = Span(last_s - (hours - 1) * PROBE_STEP_S, hours, PROBE_STEP_S)
                samples = await self._answer(probe(model, self._selector), probed)
                window = window_minutes(samples)
                if window is None:
                    return Past(first, found)
                missing = known.missing(first, self._kept)
                # The newest minutes cannot be told yet: their windows reach into the future.
                missing[self._kept - window :] = False
                asked = questions(model, self._selector, window)
                for chunk in chunks(first, missing, samples, probed):
                    table = await self._chunk(asked, chunk, window, (input_tokens, output_tokens))
                    at = chunk.first - first
                    found[at : at + chunk.minutes] = table
        except NoAnswer as error:
            problem = error
        except TimeoutError:
            problem = AskLess(f"not all of it within {self._within_s:g} s")
        return Past(first, found, problem)

    async def _chunk(
        self, asked: dict[str, str], chunk: Chunk, window: int, typical: tuple[float, float]
    ) -> Series:
        span = chunk.span(window)
        answers = {name: await self._answer(text, span) for name, text in asked.items()}
        return rows(answers, *typical)

    async def _answer(self, expression: str, span: Span) -> NDArray[np.float64]:
        """The whole of ``span``, in as many parts as it takes."""
        if self._left <= 0:
            raise AskLess(f"more than {MOST_QUESTIONS} questions")
        self._left -= 1
        try:
            return await self._ask(expression, span)
        except AskLess:
            if span.points < 2 * LEAST_MINUTES:
                raise
        older, newer = span.halves()
        parts = [await self._answer(expression, part) for part in (older, newer)]
        return np.concatenate(parts)
