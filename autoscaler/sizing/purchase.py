"""When to ask for a new mix, and how what is bought takes the place of what is there.

The mix is asked for when the need, the bounds or what delivers have changed, and every five minutes
where several pools compete; in between what is there stays. Nothing that serves goes early. Used by
the planner alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from autoscaler.sizing.decision import Reason
from autoscaler.sizing.greedy import greedy
from autoscaler.sizing.offers import SLACK, Question, shortfall, within
from autoscaler.sizing.release import beside, held_back, making_room
from autoscaler.sizing.report import binding
from autoscaler.sizing.variants import cheapest

_REMIX_S: Final = 300.0
"""How often the mix is questioned when nothing else calls for it."""
_SURVIVE_NEARLY: Final = 0.95
_SHRINKS: Final = frozenset({Reason.SCALE_DOWN, Reason.IDLE})


@dataclass(slots=True)
class Purchase:
    """One model's."""

    _mixed_s: float = -math.inf
    _circumstances: object = None
    _settled: bool = False
    """Whether nothing was held back last time."""

    def units(
        self,
        now_s: float,
        question: Question,
        reason: Reason,
        needed: float,
        *,
        wanted: Sequence[int],
        ready: Sequence[int],
        there: Sequence[int],
        stockouts: Sequence[bool],
        blind: bool,
    ) -> tuple[list[int], Reason]:
        """Units by offer, and the reason once bounds have had their say.

        ``wanted`` is what was decided last, ``needed`` what must be Ready before anything goes,
        ``there`` what is paid for, wanted or not; ``blind`` where a pool cannot be seen: then
        nothing goes at all.
        """
        current = [offer.current for offer in question.offers]
        unseen = blind or reason is Reason.STALE
        if unseen:
            question = _nothing_sold(question)
        circumstances = (tuple(stockouts), tuple(offer.low for offer in question.offers))
        enough = sum(o.replicas * o.current for o in question.offers) >= question.least_replicas
        same = self._settled and circumstances == self._circumstances and current == list(wanted)
        # Others may have taken of the budget meanwhile: then what is there is too much.
        kept = same and enough and within(question, current) and reason not in _SHRINKS
        due = len(current) > 1 and now_s - self._mixed_s >= _REMIX_S
        if reason is Reason.STALE:
            bought = current if kept else cheapest(question)
        elif kept and not due and _as_good_as_any(question, current):
            bought = current
        else:
            bought = cheapest(question)
            self._mixed_s = now_s
        self._circumstances = circumstances
        begun = beside(question, bought, there)
        if unseen:
            units = held_back(replace(question, need=math.inf), begun, current)
        else:
            at_least = replace(question, need=min(needed, question.need))
            units = held_back(at_least, begun, ready)
            if begun != bought:
                units = making_room(question, units, bought, ready=ready, there=there)
        units = beside(question, units, there)
        self._settled = units == bought
        return units, binding(question, units, reason, stockouts)


def _nothing_sold(question: Question) -> Question:
    """The question, where no pool may have less than now, unless a bound or the budget wants it.

    What a pool is to have at the least comes after that.
    """
    now = [offer.current for offer in question.offers]
    more = [max(offer.low, offer.current) for offer in question.offers]
    for lows in (more, now):
        pairs = zip(question.offers, lows, strict=True)
        held = replace(question, offers=tuple(replace(offer, low=low) for offer, low in pairs))
        if within(held, lows):
            return held
    return question


def _as_good_as_any(question: Question, units: Sequence[int]) -> bool:
    """Whether ``units`` cover what is asked, or nothing that may be bought would cover more.

    What must survive a loss follows demand up and down, so a little less is no reason to act.
    """
    asked = replace(question, survive=_SURVIVE_NEARLY * question.survive)
    short = shortfall(asked, units)
    return short == 0.0 or shortfall(asked, greedy(question)) >= short - SLACK
