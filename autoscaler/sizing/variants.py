"""Which mix of pools to buy: the solver's where it is worth asking, else the greedy one.

Whatever is returned keeps bounds, quota and budget; a shortage is the only thing that may be left.
"""

from __future__ import annotations

from autoscaler.sizing import milp
from autoscaler.sizing.greedy import greedy
from autoscaler.sizing.offers import Question, cost_per_hour, replicas, shortfall


def cheapest(question: Question) -> list[int]:
    """Units by offer."""
    bought = greedy(question)
    if len(question.offers) == 1:
        return bought
    floor = min(question.least_replicas, replicas(question, bought))
    solved = milp.solve(question, floor)
    if solved is None:
        return bought
    return solved if _rank(question, solved) <= _rank(question, bought) else bought


def _rank(question: Question, units: list[int]) -> tuple[float, float]:
    """Less missing is better, then less paid; the solver's rounding of a shortage is no merit."""
    moved = sum(
        offer.price_per_hour * max(0, n - offer.current)
        for offer, n in zip(question.offers, units, strict=True)
    )
    paid = cost_per_hour(question, units) + question.switch_hours * moved
    return (round(shortfall(question, units), 6), round(paid, 6))
