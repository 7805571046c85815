"""What one fleet's day came to: moments as it went, every request, and the sums of it. No IO."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from load_tests.day.terms import PRICE_PER_NODE_HOUR, TTFT_OBJECTIVE_S
from load_tests.measure import Sample, quantile
from loadstar.signals.model import EndpointLoad

RECENT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One look; NaN is 'not said'."""

    at_s: float  # real seconds since the day began
    offered_rps: float
    arrivals_rps: float
    ready: int
    starting: int
    wanted: int
    nodes: int
    nodes_wanted: int
    kv_used: float  # 0..1, mean over the replicas that serve
    waiting: float
    upper_rps: float = math.nan
    """The most that the forecast expects within its horizon."""
    expected_rps: float = math.nan


@dataclass(slots=True)
class Record:
    """All that was seen of one fleet."""

    name: str
    factor: float
    began_at: float = math.nan
    """``Clock.now()`` when the day began; NaN before."""
    ended: bool = False
    samples: list[Sample] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    node_seconds_before: float = 0.0
    node_seconds: float = 0.0
    """Real ones, from the fleet's own account."""

    @property
    def node_hours(self) -> float:
        """Of the day."""
        return (self.node_seconds - self.node_seconds_before) * self.factor / 3600.0

    @property
    def cost(self) -> float:
        return self.node_hours * PRICE_PER_NODE_HOUR

    def late_share(self, since: float = -math.inf) -> float:
        """Share of the requests sent from ``since`` on that failed or missed the objective."""
        counted = [late(each) for each in self.samples if each.sent_at >= since]
        return sum(counted) / len(counted) if counted else math.nan

    def ttft_s(self, percent: float) -> float:
        return quantile([each.ttft_s for each in self.samples if each.ok], percent)

    @property
    def failed(self) -> int:
        return sum(not each.ok for each in self.samples)

    def most(self, of: Callable[[Moment], int]) -> int:
        return max(map(of, self.moments), default=0)


def late(sample: Sample) -> bool:
    """Whether it failed or its first token came after the objective."""
    return not sample.ok or sample.ttft_s > TTFT_OBJECTIVE_S


def kv_and_waiting(endpoints: Iterable[EndpointLoad]) -> tuple[float, float]:
    """Mean share of KV caches in use and the waiting requests of those that say; NaN of none."""
    loads = list(endpoints)
    used = [each.kv_used for each in loads if each.kv_used is not None]
    waiting = [each.waiting for each in loads if each.waiting is not None]
    return (
        sum(used) / len(used) if used else math.nan,
        sum(waiting) if waiting else math.nan,
    )


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must have worked for the demo to end well."""

    what: str
    holds: bool
    found: str


ANSWERED = 0.97
LEAST_MOMENTS = 10


def checks(forecast: Record, reactive: Record, adapter: Sequence[str]) -> list[Check]:
    """Whether controllers, fleets and adapter did their work; not who did it better."""
    found = []
    for record in (forecast, reactive):
        total = len(record.samples)
        share = 1.0 - record.failed / total if total else 0.0
        found.append(
            Check(f"{record.name}: requests were answered", share >= ANSWERED, f"{share:.1%}")
        )
        sizes = [moment.ready for moment in record.moments]
        moved = len(sizes) >= LEAST_MOMENTS and len(set(sizes)) > 1
        span = f"{min(sizes)} to {max(sizes)}" if sizes else "none seen"
        found.append(Check(f"{record.name}: replicas came and went", moved, span))
    said = sum(not math.isnan(moment.upper_rps) for moment in forecast.moments)
    found.append(
        Check(
            "the autoscaler forecast demand",
            said > len(forecast.moments) / 2,
            f"in {said} of {len(forecast.moments)} looks",
        )
    )
    answered = [line for line in adapter if line]
    found.append(
        Check(
            "the metrics adapter answered",
            len(answered) == len(adapter) and bool(adapter),
            f"{len(answered)} of {len(adapter)} questions",
        )
    )
    return found
