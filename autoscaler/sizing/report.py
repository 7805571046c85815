"""Why, in words and figures: what a decision says of itself. Decides nothing.

The reason is one word for event, log line, metric and ledger; the figures are what replay and
``explain`` show; the sentence is for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from autoscaler.sizing.decision import Reason
from autoscaler.sizing.estimate import Estimate
from autoscaler.sizing.offers import (
    Question,
    capacity,
    cost_per_hour,
    replicas,
    shortfall,
)

_CALM: Final = frozenset({Reason.STEADY, Reason.HOLD_DOWN, Reason.STALE})


def binding(
    question: Question, units: Sequence[int], reason: Reason, stockouts: Sequence[bool]
) -> Reason:
    """``reason``, unless a bound kept the size from it or a rail moved it."""
    before = [offer.current for offer in question.offers]
    more = any(n > b for n, b in zip(units, before, strict=True))
    short = shortfall(question, units) > 0 or replicas(question, units) < question.least_replicas
    if short and reason is not Reason.STALE:
        return _bound(question, units, stockouts)
    if more and any(stockouts) and _moved(question, units, stockouts):
        return Reason.STOCKOUT
    if more and reason in _CALM:
        few = replicas(question, before) < question.least_replicas
        return Reason.FLOOR if few else Reason.REACTIVE
    return reason


def _bound(question: Question, units: Sequence[int], stockouts: Sequence[bool]) -> Reason:
    """What kept capacity from being bought."""
    room = [
        offer
        for offer, n in zip(question.offers, units, strict=True)
        if n < offer.high and replicas(question, units) + offer.replicas <= question.most_replicas
    ]
    if room and question.budget_per_hour is not None:
        return Reason.BUDGET
    if any(stockouts):
        return Reason.STOCKOUT
    smallest = min(offer.replicas for offer in question.offers)
    if replicas(question, units) + smallest > question.most_replicas:
        return Reason.CAP
    return Reason.QUOTA


def out_of_step(reason: Reason, total: int, floor: int, cap: int) -> Reason:
    """``reason``, unless whole units make no number of replicas from ``floor`` to ``cap``."""
    return Reason.SIZES if total > cap or (total < floor and reason is Reason.CAP) else reason


def _moved(question: Question, units: Sequence[int], stockouts: Sequence[bool]) -> bool:
    """Whether what grows is not what cannot deliver."""
    return any(
        n > offer.current and not out
        for n, offer, out in zip(units, question.offers, stockouts, strict=True)
    )


def figures(
    question: Question,
    units: Sequence[int],
    estimate: Estimate | None,
    goal: float,
    lead_s: float,
) -> dict[str, float]:
    """What the decision was made from, by name with its unit."""
    shown: dict[str, float] = {
        "goal_reference_replicas": goal,
        "capacity_reference_replicas": capacity(question, units),
        "survive_reference_replicas": question.survive,
        "cost_per_hour": cost_per_hour(question, units),
        "lead_time_p90_s": lead_s,
    }
    if estimate is None:
        return shown
    shown |= {
        "needed_reference_replicas": estimate.replicas(estimate.work()),
        "minute_work": estimate.minute_work,
        "reactive_work": estimate.reactive_work,
        "backlog_work_s": estimate.backlog_work_s,
        "work_per_replica": estimate.per_replica,
        "arrivals_variation": estimate.variation,
        "headroom": estimate.headroom,
        "kappa": estimate.kappa,
    }
    forecast = estimate.forecast
    if forecast is not None:
        shown |= {
            "horizon_s": 60.0 * forecast.horizon_minutes,
            "expected_work": forecast.expected,
            "upper_work": forecast.upper,
        }
        if forecast.coverage is not None:
            shown["coverage"] = forecast.coverage
        if forecast.skill is not None:
            shown["skill"] = forecast.skill
    return shown


_SENTENCES: Final = MappingProxyType(
    {
        Reason.STEADY: "What is there carries what is needed.",
        Reason.FORECAST: "Demand within the lead time may need {goal:.1f} replicas.",
        Reason.REACTIVE: "What arrives and waits now needs {goal:.1f} replicas.",
        Reason.SCHEDULE: "An announced event needs {goal:.1f} replicas before it opens.",
        Reason.SCALE_DOWN: "Nothing in the window needed more than {goal:.1f} replicas.",
        Reason.HOLD_DOWN: "Less is needed, but not for long enough to give anything back.",
        Reason.STALE: "Demand is not known; nothing goes down until it is.",
        Reason.FLOOR: "The policy's or a schedule's least number of replicas.",
        Reason.CAP: "{goal:.1f} replicas are needed; the most allowed do not carry that.",
        Reason.SIZES: "Whole units make no size from the least to the most: the nearest is taken.",
        Reason.QUOTA: "{goal:.1f} replicas are needed; pools and quota have no more room.",
        Reason.BUDGET: "{goal:.1f} replicas are needed; the budget does not pay for them.",
        Reason.STOCKOUT: "A pool does not deliver; others carry what they can of its share.",
        Reason.IDLE: "Nothing has come for as long as a cold start is worth, nor is expected.",
        Reason.WAKE: "Requests have come, or are about to.",
    }
)


def sentence(reason: Reason, inputs: dict[str, float], events: Sequence[str]) -> str:
    """One sentence for people."""
    said = _SENTENCES.get(reason, "").format(goal=inputs["goal_reference_replicas"])
    return f"{said} Announced: {', '.join(events)}." if events else said
