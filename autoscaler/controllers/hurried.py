"""What differs where the clock outruns the machine's: the loop's pace, and the seconds of demand.

For demonstrations on one machine, where a day passes in minutes. Requests stay as they are: their
rates and latencies are in real seconds, and what a queue is worth too. Called by ``main`` alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from autoscaler.controllers.seeing import HeardDemand
from autoscaler.observe.feed_demand import FeedDemand
from autoscaler.observe.observation import Demand
from autoscaler.policy.model import ModelPolicy, Policy
from loadstar.clock import Clock

SHORTEST_WINDOW_S: Final = 1.0
"""Real seconds over which arrivals are counted at the least: fewer requests say nothing."""
UNHURRIED_WINDOW_S: Final = 15.0
NO_POLICY_S: Final = 1.0


class HeardLately(HeardDemand):
    """Demand of the machine's last second or so, at whatever time the loop's clock says it is."""

    def __init__(self, feed: FeedDemand, machine: Clock) -> None:
        super().__init__(feed)
        self._machine = machine

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        return super().demand(model, self._machine.wall())


def window_s(factor: float) -> float:
    """Real seconds of the window in which arrivals are counted."""
    return max(SHORTEST_WINDOW_S, UNHURRIED_WINDOW_S / factor)


def at_pace(policy: Policy, factor: float) -> Policy:
    """``policy`` for what sleeps between its looks: the period in real seconds."""
    return policy if factor == 1.0 else replace(policy, period_s=policy.period_s / factor)


async def wake_in_time(
    wake: Callable[[], None], policy: Callable[[], Policy | None], factor: float
) -> None:
    """Wake the loop each period of its clock, until cancelled; it would sleep for real."""
    while True:
        known = policy()
        await asyncio.sleep(NO_POLICY_S if known is None else known.period_s / factor)
        wake()
