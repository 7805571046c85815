"""Knative's pod autoscaler on concurrency: a stable window, a panic window, no forecast.

The target is a share of the replica's batch; requests in flight and in the queue count alike.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from autoscaler.observe.observation import Observation
from autoscaler.simulate.rivals.rival import Fleet, started_with
from autoscaler.sizing.decision import Decision

STABLE_S: Final = 60.0
PANIC_S: Final = 6.0
PANIC_AT: Final = 2.0
MOST_UP: Final = 1000.0
MOST_DOWN: Final = 2.0


@dataclass(slots=True)
class Kpa:
    """``target`` is the share of the batch that one replica is given."""

    fleet: Fleet
    target: float
    period_s: float = 5.0  # the finest the plant has; Knative's tick is 2 s
    _seen: deque[tuple[float, float]] = field(default_factory=deque)
    _panic_until_s: float | None = None
    _panic_size: int = 0
    _size: int | None = None

    def decide(self, seen: Observation) -> Decision:
        view = self.fleet.view(seen)
        current = started_with(seen) if self._size is None else self._size
        now = view.now_s
        if view.batch is not None and view.queued is not None:
            running = view.batch * self.fleet.work.concurrency * view.ready
            self._seen.append((now, running + view.queued))
        while self._seen and now - self._seen[0][0] >= STABLE_S:
            self._seen.popleft()
        if view.batch is None or not self._seen:
            return self.fleet.decision(view, current, current)
        self._size = self._wanted(now, max(view.ready, 1))
        return self.fleet.decision(view, self._size, current, concurrency=self._seen[-1][1])

    def _wanted(self, now: float, ready: int) -> int:
        target = self.target * self.fleet.work.concurrency
        stable = sum(v for _, v in self._seen) / len(self._seen)
        recent = [v for t, v in self._seen if now - t < PANIC_S]
        panic = sum(recent) / len(recent) if recent else stable
        stable_pods = self._clamped(math.ceil(stable / target), ready)
        panic_pods = self._clamped(math.ceil(panic / target), ready)
        if panic_pods / ready >= PANIC_AT:
            self._panic_until_s = now + STABLE_S
        if self._panic_until_s is None or now >= self._panic_until_s:
            self._panic_until_s, self._panic_size = None, 0
            return max(1, stable_pods)
        self._panic_size = max(self._panic_size, panic_pods, stable_pods)
        return self._panic_size

    @staticmethod
    def _clamped(pods: int, ready: int) -> int:
        return min(max(pods, math.floor(ready / MOST_DOWN)), math.ceil(ready * MOST_UP))
