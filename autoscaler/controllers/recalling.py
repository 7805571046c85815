"""Histories that a restart lost, or that began too late, from a Prometheus. A task beside the loop.

It waits for nobody and nobody for it: the loop decides from what it has, and begins again with
the whole past when that is here. What fails is told, tried some times more, and then left.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from autoscaler.controllers.policy_in_force import PolicyInForce
from autoscaler.controllers.report import Report
from autoscaler.controllers.wanted import about
from autoscaler.observe.history import History
from autoscaler.observe.prometheus import Address, opened
from autoscaler.observe.range_answers import AskNoMore, NoAnswer
from autoscaler.observe.recall import Past, Recall
from autoscaler.policy.model import ModelPolicy
from loadstar.clock import Clock

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""How often to look for models that the policy has got since."""
WITHIN_S: Final = 300.0
"""Of all questions about one model."""
AGAIN_S: Final = (15.0, 60.0, 300.0, 900.0)
"""Waits before the next attempts; a Prometheus that restarts is back by then."""
NEVER: Final = float("inf")


class Remembers(Protocol):
    """The loop, as this needs it."""

    def history(self, model: str) -> History | None:
        """What is known; None before the model has begun."""
        ...

    def recall(self, model: str, past: Past) -> None:
        """Fill what is not known."""
        ...


class Recalling:
    """Asks about each model once, and again where that failed."""

    def __init__(
        self,
        address: Address,
        *,
        force: PolicyInForce,
        remembers: Remembers,
        report: Report,
        clock: Clock,
    ) -> None:
        self._address = address
        self._force = force
        self._remembers = remembers
        self._report = report
        self._clock = clock
        self._due_s: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask about every model that is due."""
        force = self._force.current
        models = () if force is None else force.policy.models
        due = [
            model
            for model in models
            if self._due_s.get(model.name, 0.0) <= self._clock.now()
            and self._remembers.history(model.name) is not None
        ]
        if not due:
            return
        try:
            async with opened(self._address) as api:
                recall = Recall(api.ask, selector=self._address.selector, within_s=WITHIN_S)
                for model in due:
                    await self._one(recall, model)
        except NoAnswer as error:
            for model in due:
                self._failed(model, error)

    async def _one(self, recall: Recall, model: ModelPolicy) -> None:
        known = self._remembers.history(model.name)
        if known is None:
            return
        try:
            past = await recall.past(
                model.name,
                known,
                self._clock.wall(),
                input_tokens=model.typical_input_tokens,
                output_tokens=model.typical_output_tokens,
            )
        except Exception as error:
            # The rim: whatever an API may say, the loop beside us goes on.
            log.exception("recalling the demand for %s failed", model.name)
            self._failed(model, AskNoMore(f"{type(error).__name__}: {error}"))
            return
        if past.minutes:
            self._remembers.recall(model.name, past)
            self._report.metrics.recalled.labels(model.name).inc(past.minutes)
        if past.problem is not None:
            self._failed(model, past.problem, past.minutes)
            return
        self._due_s[model.name] = NEVER
        outcome = "filled" if past.minutes else "nothing"
        self._report.metrics.recalls.labels(model.name, outcome).inc()
        text = f"{past.minutes} minutes of past demand read from Prometheus"
        log.info(text, extra={"model": model.name})
        where = about(model)
        if where is not None and past.minutes:
            self._report.event(where, "HistoryRead", text, warns=False)

    def _failed(self, model: ModelPolicy, why: NoAnswer, minutes: int = 0) -> None:
        """Tell, and be due again while that may help."""
        tries = self._tries.get(model.name, 0)
        self._tries[model.name] = tries + 1
        again = not isinstance(why, AskNoMore) and tries < len(AGAIN_S)
        self._due_s[model.name] = self._clock.now() + AGAIN_S[tries] if again else NEVER
        self._report.metrics.recalls.labels(model.name, "partial" if minutes else "failed").inc()
        then = f"asked again in {AGAIN_S[tries]:g} s" if again else "left at that"
        text = f"past demand: {minutes} minutes read from {self._address.url}, {then}: {why}"
        log.warning(text, extra={"model": model.name})
        where = about(model)
        if where is not None:
            self._report.event(where, "HistoryNotRead", text, warns=True)
