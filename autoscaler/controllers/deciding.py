"""All models between two ticks: their controllers, what was seen lately, how they begin again.

Decides in a thread, for a refit takes seconds and the lease must be renewed meanwhile. One tick at
a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from autoscaler.ledger.entries import Start
from autoscaler.ledger.starts import WARM_S, begun, start
from autoscaler.observe.history import History
from autoscaler.observe.observation import Observation
from autoscaler.sizing.decision import Decision


class Deciding:
    """The controllers of one policy, begun from what their ledger's first line says."""

    def __init__(self, line: Start) -> None:
        """Blocking: reads histories and shows them to controllers. Call in a thread."""
        self._fleet = begun(line)
        models = max(len(self._fleet.planners), 1)
        most = (int(WARM_S / self._fleet.period_s) + 1) * models
        self._lately: deque[Observation] = deque(line.warm, maxlen=most)

    async def decide(self, seen: Mapping[str, Observation]) -> dict[str, Decision]:
        """The decisions of one tick, all of one moment."""
        self._lately.extend(seen.values())
        return await asyncio.to_thread(self._fleet.decide, dict(seen))

    def histories(self) -> dict[str, History]:
        """By model."""
        return {name: planner.history for name, planner in self._fleet.planners.items()}

    def again(self, at_s: float, policy: str, histories: Mapping[str, History]) -> Start:
        """The line from which to begin anew with ``policy``, its ``histories`` and all we know."""
        return start(at_s, policy, histories, tuple(self._lately))
