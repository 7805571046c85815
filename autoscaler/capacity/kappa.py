"""How much a replica really does, over what its profile says: kappa, learned while serving.

A queue that lasts tells the truth: what is served is what can be. Without a queue only the shape
of the service curve tells, so it is believed slowly, and upward moves least of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from autoscaler.capacity.curve import ServiceCurve

_SATURATED_GAIN: Final = 0.15
_CURVE_GAIN: Final = 0.01
_MOST_UP: Final = 0.004
"""The most that a curve may add in a minute: an optimist's error is paid by those who wait."""
LOWEST: Final = 0.5
HIGHEST: Final = 1.5
_SEEN_LOW, _SEEN_HIGH = 0.4, 1.6
_QUEUE_S: Final = 0.5
"""A queue that full replicas clear in less than this may be chance."""
_LASTS_S: Final = 15.0
_SETTLED_S: Final = 45.0
"""Metrics are older than sizes: what was served is that of the replicas of a while ago."""
_FULL_BATCH: Final = 0.8
_CURVE_FROM, _CURVE_TO = 0.25, 0.97


@dataclass(slots=True)
class Kappa:
    """One model's correction."""

    trust_curve: bool
    value: float = 1.0
    _queued_s: float = 0.0
    _ready: float = 0.0
    _same_s: float = 0.0
    _saturated: float = 0.0
    _saturated_ticks: int = 0
    _curve: float = 0.0
    _curve_ticks: int = 0

    def see(
        self,
        elapsed_s: float,
        *,
        served: float | None,
        ready: float,
        backlog_s: float | None,
        utilization: float | None,
        curve: ServiceCurve,
    ) -> None:
        """One tick: work served and queued, ready reference replicas, share of the batch in use."""
        self._same_s = self._same_s + elapsed_s if ready == self._ready else 0.0
        self._ready = ready
        if served is None or backlog_s is None or ready <= 0:
            self._queued_s = 0.0
            return
        queued = backlog_s > _QUEUE_S * ready
        self._queued_s = self._queued_s + elapsed_s if queued else 0.0
        if queued:
            full = utilization is None or utilization >= _FULL_BATCH
            if self._queued_s > _LASTS_S and self._same_s >= _SETTLED_S and full:
                self._saturated += min(max(served / ready, _SEEN_LOW), _SEEN_HIGH)
                self._saturated_ticks += 1
        elif self.trust_curve and utilization is not None:
            load = curve.load(utilization)
            if _CURVE_FROM <= load <= _CURVE_TO:
                self._curve += min(max(served / (ready * load), _SEEN_LOW), _SEEN_HIGH)
                self._curve_ticks += 1

    def minute(self) -> None:
        """Move towards what the minute's ticks said."""
        if self._saturated_ticks:
            seen = self._saturated / self._saturated_ticks
            self.value += _SATURATED_GAIN * (seen - self.value)
        elif self._curve_ticks:
            seen = self._curve / self._curve_ticks
            self.value += min(_CURVE_GAIN * (seen - self.value), _MOST_UP)
        self.value = min(max(self.value, LOWEST), HIGHEST)
        self._saturated = self._curve = 0.0
        self._saturated_ticks = self._curve_ticks = 0
