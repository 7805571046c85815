"""The workload variant autoscaler: its queueing optimizer, its saturation rule, its token rule.

Each gives a desired number that an HPA follows through a metric, with the window of its chart. The
optimizer takes completions for demand, as it is shipped.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from autoscaler.observe.observation import Observation
from autoscaler.simulate.hpa import NoMetric, Tolerance, total_average
from autoscaler.simulate.hpa_behavior import SYNC_PERIOD_S, Hpa, Rate, Rules
from autoscaler.simulate.rivals.rival import Fleet, View, started_with
from autoscaler.sizing.decision import Decision

QUEUE_FULL: Final = 5.0
SPARE_KV: Final = 0.1
SPARE_QUEUE: Final = 3.0
SCALE_UP_AT: Final = 0.85
SCALE_DOWN_AT: Final = 0.70
RATE_WINDOW_S: Final = 60.0
FULL_BATCH_KV: Final = 0.9
EXACTLY: Final = Tolerance(0.0, 0.0)
"""Its HPA follows every step; the usual tenth would swallow most of them, to nobody's good."""

Rule = Callable[[View, int], int | None]


def _followed(window_s: float) -> Hpa:
    rates = (Rate("Pods", 10),)
    return Hpa(up=Rules(window_s, rates), down=Rules(window_s, rates))


@dataclass(slots=True)
class Wva:
    """``rule`` sees every sync and decides every ``every_s``; an HPA follows its number."""

    fleet: Fleet
    rule: Rule
    every_s: float
    hpa: Hpa
    period_s: float = SYNC_PERIOD_S
    _desired: int | None = None
    _next_s: float = 0.0
    _size: int | None = None

    def decide(self, seen: Observation) -> Decision:
        view = self.fleet.view(seen)
        current = started_with(seen) if self._size is None else self._size
        bounds = self.fleet.bounds
        wanted = self.rule(view, current)
        if view.now_s >= self._next_s:
            self._next_s = view.now_s + self.every_s
            if wanted is not None:
                self._desired = min(max(wanted, bounds.least), bounds.most)
        metric: int | NoMetric = NoMetric("no desired size yet")
        if self._desired is not None:
            metric = total_average(self._desired * 1000, 1000, current, EXACTLY)
        self._size = self.hpa.sync(view.now_s, max(current, 1), bounds, [metric])
        return self.fleet.decision(view, self._size, current, desired=self._desired)


@dataclass(slots=True)
class Optimizer:
    """Completions of the last minute by what one replica may be given."""

    share: float
    _done: deque[tuple[float, float]] = field(default_factory=deque)

    def __call__(self, view: View, current: int) -> int | None:
        if view.done is not None:
            self._done.append((view.now_s, view.done))
        while self._done and view.now_s - self._done[0][0] >= RATE_WINDOW_S:
            self._done.popleft()
        if not self._done:
            return None
        done = sum(value for _, value in self._done) / len(self._done)
        return math.ceil(done / (self.share * view.sustainable))


@dataclass(frozen=True, slots=True)
class Saturation:
    """One more when little is spare, one fewer when the rest could carry it."""

    kv_full: float

    def __call__(self, view: View, current: int) -> int | None:
        if view.kv is None or view.queued is None or view.ready == 0:
            return None
        queue = view.queued / view.ready
        pending = view.pending + view.loading > 0
        saturated = view.kv >= self.kv_full or queue >= QUEUE_FULL
        short = self.kv_full - view.kv < SPARE_KV or QUEUE_FULL - queue < SPARE_QUEUE
        if saturated or short:
            return current if pending else current + 1
        if view.ready < 2 or pending:
            return current
        fewer = view.ready / (view.ready - 1)
        carries = self.kv_full - view.kv * fewer >= SPARE_KV
        carries = carries and QUEUE_FULL - queue * fewer >= SPARE_QUEUE
        return current - 1 if carries else current


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens in use and waiting, by the KV tokens that one replica may hold."""

    kv_full: float
    concurrency: int

    def __call__(self, view: View, current: int) -> int | None:
        if view.kv is None or view.queued is None:
            return None
        # In shares of one replica's KV cache, which a full batch uses to FULL_BATCH_KV.
        each = view.input_tokens + view.output_tokens / 2
        whole = self.concurrency * each / FULL_BATCH_KV
        demand = view.kv * view.ready + view.queued * view.input_tokens / max(whole, 1e-9)
        supply = current * self.kv_full
        required = demand / SCALE_UP_AT - supply
        if required > 0:
            return current + math.ceil(required / self.kv_full)
        spare = view.ready * self.kv_full - demand / SCALE_DOWN_AT
        return max(1, current - math.floor(spare / self.kv_full)) if spare > 0 else current


def optimizer(fleet: Fleet, share: float) -> Wva:
    return Wva(fleet, Optimizer(share), 60.0, _followed(0.0))


def saturation(fleet: Fleet, kv_full: float) -> Wva:
    return Wva(fleet, Saturation(kv_full), 30.0, _followed(0.0))


def tokens(fleet: Fleet, kv_full: float) -> Wva:
    return Wva(fleet, Tokens(kv_full, fleet.work.concurrency), 30.0, _followed(240.0))
