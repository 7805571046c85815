"""One model between two ticks: its controller, what was seen lately, how it begins again.

Decides in a thread, for a refit takes seconds and the lease must be renewed meanwhile. One decision
at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque

from autoscaler.ledger.entries import Start
from autoscaler.ledger.starts import WARM_S, begun, start
from autoscaler.observe.history import History
from autoscaler.observe.observation import Observation
from autoscaler.sizing.decision import Controller, Decision
from autoscaler.sizing.planner import Planner


class ModelController:
    """The controller of one model, begun from what its ledger's first line says."""

    def __init__(self, line: Start) -> None:
        """Blocking: reads a history and shows it to a controller. Call in a thread."""
        self.line = line
        self._controller: Controller = begun(line)
        most = int(WARM_S / self._controller.period_s) + 1
        self._lately: deque[Observation] = deque(line.warm, maxlen=most)
        self.last: Decision | None = None

    @property
    def history(self) -> History:
        assert isinstance(self._controller, Planner)
        return self._controller.history

    async def decide(self, seen: Observation) -> Decision:
        """The next decision."""
        self._lately.append(seen)
        self.last = await asyncio.to_thread(self._controller.decide, seen)
        return self.last

    def again(self, at_s: float, policy: str) -> Start:
        """The line from which this model begins anew, with ``policy`` and all it knows."""
        return start(at_s, self.line.model, policy, self.history, tuple(self._lately))
