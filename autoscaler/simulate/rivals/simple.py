"""The plainest rivals: a size that never changes, and ours without its forecast.

``React`` has our signal, our backlog term, our feedback and our way down; what it lacks is the
future. What it wins is not owed to forecasting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from autoscaler.observe.observation import Observation
from autoscaler.simulate.rivals.rival import Fleet, started_with
from autoscaler.sizing.decision import Decision
from autoscaler.sizing.guard import DownGuard
from autoscaler.sizing.need import Arrivals, reactive

GAIN: Final = 0.01
GAIN_AT_LEAD_S: Final = 390.0
BUDGET: Final = 0.005
LOWEST, HIGHEST = -0.08, 0.30
LATE: Final = 0.05


@dataclass(slots=True)
class Static:
    """Always ``replicas``."""

    fleet: Fleet
    replicas: int
    period_s: float = 60.0
    _size: int | None = None

    def decide(self, seen: Observation) -> Decision:
        before = started_with(seen) if self._size is None else self._size
        self._size = self.replicas
        return self.fleet.decision(self.fleet.view(seen), self.replicas, before)


@dataclass(slots=True)
class React:
    """Demand now, with ``margin``; ``feedback`` adds headroom while the objective is missed."""

    fleet: Fleet
    margin: float
    feedback: bool = True
    period_s: float = 15.0
    _arrivals: Arrivals = field(default_factory=Arrivals)
    _down: DownGuard = field(init=False)
    _head: float = 0.0
    _size: int | None = None
    _late: float = 0.0
    _ticks: int = 0

    def __post_init__(self) -> None:
        self._down = DownGuard(self.fleet.model.scale_down)

    def decide(self, seen: Observation) -> Decision:
        view = self.fleet.view(seen)
        current = started_with(seen) if self._size is None else self._size
        if view.work is None:
            self._down.restart()
            return self.fleet.decision(view, current, current)
        self._learn(view.violating or 0.0)
        tick, minute = self._arrivals.add(view.now_s, view.work)
        need = reactive(tick, minute, (view.queued or 0.0) * view.request_s)
        wanted = math.ceil(need * (1 + self.margin + self._head) / view.sustainable)
        highest = self._down.note(view.now_s, wanted)
        if wanted > current:
            size = wanted
        else:
            size = self._down.lowered(view.now_s, current, max(highest, wanted), 1)
        bounds = self.fleet.bounds
        self._size = min(max(size, bounds.least), bounds.most)
        return self.fleet.decision(view, self._size, current, need=need, headroom=self._head)

    def _learn(self, violating: float) -> None:
        if not self.feedback:
            return
        self._late += violating
        self._ticks += 1
        if self._ticks < round(60 / self.period_s):
            return
        bad = self._late / self._ticks > LATE
        self._late, self._ticks = 0.0, 0
        lead_s = max(p.lead_time.total_s() for p in self.fleet.policy.pools)
        gain = GAIN * min(1.0, GAIN_AT_LEAD_S / max(lead_s, 1.0))
        self._head = min(max(self._head + gain * (bad - BUDGET), LOWEST), HIGHEST)
