"""The Horizontal Pod Autoscaler on one metric: queue, KV cache, or arrivals.

On arrivals it has the perfect profile: its metric is work, its target a share of what a replica
sustains. Arithmetic and memory are the real ones, in ``hpa`` and ``hpa_behavior``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from autoscaler.observe.observation import Observation
from autoscaler.simulate.hpa import NoMetric, pods_average, total_average
from autoscaler.simulate.hpa_behavior import SYNC_PERIOD_S, Hpa
from autoscaler.simulate.rivals.rival import Fleet, View, started_with
from autoscaler.sizing.decision import Decision

Metric = Callable[[View, int], int | NoMetric]


@dataclass(slots=True)
class HpaController:
    """One HPA; ``metrics`` are its proposals."""

    fleet: Fleet
    metrics: tuple[Metric, ...]
    period_s: float = SYNC_PERIOD_S
    _hpa: Hpa = field(default_factory=Hpa)
    _size: int | None = None

    def decide(self, seen: Observation) -> Decision:
        view = self.fleet.view(seen)
        current = started_with(seen) if self._size is None else self._size
        proposals = [metric(view, current) for metric in self.metrics]
        self._size = self._hpa.sync(view.now_s, max(current, 1), self.fleet.bounds, proposals)
        return self.fleet.decision(
            view, self._size, current, work=view.work, kv=view.kv, queued=view.queued
        )


def on_queue(target: float) -> Metric:
    """Waiting requests a pod."""

    def metric(view: View, current: int) -> int | NoMetric:
        each = None if view.queued is None or view.ready == 0 else view.queued / view.ready
        return pods_average(view.per_pod(each), target * 1000, current)

    return metric


def on_kv_cache(target: float) -> Metric:
    """Share of the KV cache in use, mean over pods."""

    def metric(view: View, current: int) -> int | NoMetric:
        return pods_average(view.per_pod(view.kv), target * 1000, current)

    return metric


def on_arrivals(target: float) -> Metric:
    """Work that comes in, by ``target`` times what a replica sustains."""

    def metric(view: View, current: int) -> int | NoMetric:
        milli = None if view.work is None else view.work * 1000
        return total_average(milli, target * view.sustainable * 1000, current)

    return metric
