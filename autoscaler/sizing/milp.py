"""The cheapest mix by integer programming (HiGHS): exact within its gap, bounded in time.

Same question and same bounds as ``greedy``. What cannot be covered is left short at a price that
exceeds any saving, so that there always is an answer. None where the solver has none in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from autoscaler.sizing.offers import Question, within

_TIME_LIMIT_S = 1.0
_GAP = 0.01
_TIE = 1e-6


def solve(question: Question, least_replicas: int) -> list[int] | None:
    """Units by offer, or None. ``least_replicas`` is a size that is known to be had."""
    offers = question.offers
    count = len(offers)
    losses = question.losses()
    price = np.array([offer.price_per_hour for offer in offers])
    size = np.array([offer.capacity for offer in offers])
    dearest = float(max((p / s for p, s in zip(price, size, strict=True) if s > 0), default=1.0))
    # Columns: units, units added to what is there, capacity short today, after each loss.
    shorts = 1 + len(losses)
    width = 2 * count + shorts
    penalty = 100.0 * max(dearest, 1e-3) * (1.0 + question.switch_hours)
    tie = _TIE * np.arange(1, count + 1)
    cost = np.concatenate(
        [price + tie, question.switch_hours * price + tie, _penalties(penalty, shorts)]
    )
    rows: list[np.ndarray] = []
    low: list[float] = []

    def at_least(coefficients: np.ndarray, bound: float, short: int | None = None) -> None:
        row = np.zeros(width)
        row[:count] = coefficients
        if short is not None:
            row[2 * count + short] = 1.0
        rows.append(row)
        low.append(bound)

    at_least(size, question.need, 0)
    for index, stays in enumerate(losses):
        at_least(size * np.array(stays), question.survive, 1 + index)
    replicas = np.array([float(offer.replicas) for offer in offers])
    at_least(replicas, float(least_replicas))
    at_least(-replicas, -float(question.most_replicas))
    if question.budget_per_hour is not None:
        at_least(-price, -question.budget_per_hour)
    for index, offer in enumerate(offers):  # added >= units - current
        row = np.zeros(width)
        row[index], row[count + index] = -1.0, 1.0
        rows.append(row)
        low.append(-float(offer.current))
    upper = np.concatenate([[float(o.high) for o in offers], np.full(count + shorts, np.inf)])
    lower = np.concatenate([[float(o.low) for o in offers], np.zeros(count + shorts)])
    integral = np.concatenate([np.ones(count), np.zeros(count + shorts)])
    found = milp(
        cost,
        integrality=integral,
        bounds=Bounds(lower, upper),
        constraints=LinearConstraint(np.array(rows), np.array(low), np.inf),
        options={"time_limit": _TIME_LIMIT_S, "mip_rel_gap": _GAP},
    )
    if found.x is None:
        return None
    units = [round(value) for value in found.x[:count]]
    return units if within(question, units) else None


def _penalties(penalty: float, shorts: int) -> Sequence[float]:
    """Today counts most, then what must survive."""
    return [penalty, *([penalty / 4] * (shorts - 1))]
