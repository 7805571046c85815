"""Dynamo's planner: a Kalman forecast one interval ahead as a floor, and a step of one by load.

The forecast is a point; the floor is what a replica sustains times a share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from autoscaler.observe.observation import Observation
from autoscaler.simulate.rivals.rival import Fleet, View, started_with
from autoscaler.sizing.decision import Decision

INTERVAL_S: Final = 180.0
LOAD_INTERVAL_S: Final = 15.0
LEVEL_NOISE: Final = 1.0
TREND_NOISE: Final = 0.1
SEEN_NOISE: Final = 10.0
FEWEST_POINTS: Final = 5
LATE: Final = 0.05
DOWN_SENSITIVITY: Final = 0.80


class Trend:
    """A local linear trend, filtered."""

    def __init__(self) -> None:
        self._state = np.zeros(2)
        self._spread = np.eye(2) * 1e6
        self.points = 0

    def update(self, value: float) -> None:
        move = np.array([[1.0, 1.0], [0.0, 1.0]])
        state = move @ self._state
        spread = move @ self._spread @ move.T + np.diag([LEVEL_NOISE, TREND_NOISE])
        gain = spread[:, 0] / (spread[0, 0] + SEEN_NOISE)
        self._state = state + gain * (value - state[0])
        self._spread = spread - np.outer(gain, spread[0])
        self.points += 1

    def ahead(self) -> float:
        return float(self._state.sum())


@dataclass(slots=True)
class Dynamo:
    """``share`` of what a replica sustains is what the floor gives it."""

    fleet: Fleet
    share: float
    period_s: float = LOAD_INTERVAL_S
    _trend: Trend = field(default_factory=Trend)
    _sum: float = 0.0
    _count: int = 0
    _next_s: float | None = None
    _floor: int = 1
    _size: int | None = None

    def decide(self, seen: Observation) -> Decision:
        view = self.fleet.view(seen)
        current = started_with(seen) if self._size is None else self._size
        self._forecast(view)
        size = current
        if view.pending + view.loading == 0:
            size = self._by_load(view, current)
        bounds = self.fleet.bounds
        self._size = min(max(size, self._floor, bounds.least), bounds.most)
        return self.fleet.decision(view, self._size, current, floor=self._floor)

    def _forecast(self, view: View) -> None:
        if view.work is not None:
            self._sum += view.work
            self._count += 1
        if self._next_s is None:
            self._next_s = view.now_s + INTERVAL_S
        if view.now_s < self._next_s:
            return
        self._next_s += INTERVAL_S
        if self._count:
            mean = self._sum / self._count
            self._sum, self._count = 0.0, 0
            self._trend.update(mean)
            ahead = self._trend.ahead() if self._trend.points >= FEWEST_POINTS else mean
            self._floor = max(1, math.ceil(max(ahead, 0.0) / (self.share * view.sustainable)))

    def _by_load(self, view: View, current: int) -> int:
        if view.violating is None or view.work is None:
            return current
        if view.violating > LATE:
            return current + 1
        if view.ready < 2 or view.queued:
            return current
        after = view.work / (view.ready - 1)
        safe = after < DOWN_SENSITIVITY * self.share * view.sustainable
        return current - 1 if safe else current
