"""AIBrix's APA on KV cache: a mean over three minutes, doubling and halving, a cooldown on the way.

As it is shipped, the window of the way down takes the lowest size instead of the highest; both
variants are here.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from autoscaler.observe.observation import Observation
from autoscaler.simulate.rivals.rival import Fleet, started_with
from autoscaler.sizing.decision import Decision

OBSERVED_S: Final = 180.0
TOLERANCE: Final = 0.1
RATE: Final = 2
COOLDOWN_S: Final = 300.0


@dataclass(slots=True)
class Apa:
    """``target`` of the KV cache's use; ``shipped`` keeps the window the wrong way round."""

    fleet: Fleet
    target: float
    shipped: bool = False
    period_s: float = 10.0
    _kv: deque[tuple[float, float]] = field(default_factory=deque)
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _size: int | None = None

    def decide(self, seen: Observation) -> Decision:
        view = self.fleet.view(seen)
        current = started_with(seen) if self._size is None else self._size
        now = view.now_s
        if view.kv is not None:
            self._kv.append((now, view.kv))
        while self._kv and now - self._kv[0][0] >= OBSERVED_S:
            self._kv.popleft()
        if not self._kv:
            return self.fleet.decision(view, current, current)
        mean = sum(v for _, v in self._kv) / len(self._kv)
        wanted = self._sized(mean / self.target, max(current, 1))
        self._wanted.append((now, wanted))
        while now - self._wanted[0][0] >= COOLDOWN_S:
            self._wanted.popleft()
        if wanted < current or self.shipped:
            sizes = [n for _, n in self._wanted]
            lowest = min(sizes) if wanted < current else wanted
            wanted = lowest if self.shipped else max(sizes)
        bounds = self.fleet.bounds
        self._size = min(max(wanted, bounds.least), bounds.most)
        return self.fleet.decision(view, self._size, current, kv=mean)

    @staticmethod
    def _sized(ratio: float, current: int) -> int:
        if ratio > 1 + TOLERANCE:
            return min(math.ceil(current * ratio), math.ceil(RATE * current))
        if ratio < 1 - TOLERANCE:
            return max(math.ceil(current * ratio), math.floor(current / RATE))
        return current
