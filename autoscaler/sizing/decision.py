"""What a controller decides: replicas per pool, the reason, and the figures it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from autoscaler.observe.observation import Observation


class Reason(StrEnum):
    """Why a size was chosen: one word for the event, the log line, the metric and the ledger."""

    STEADY = "Steady"  # what is there is what is wanted
    FORECAST = "PredictiveScaleUp"  # demand to come within the lead time
    REACTIVE = "ReactiveScaleUp"  # demand or backlog that is here now
    SCHEDULE = "ScheduledEvent"  # an event that the policy announced
    SCALE_DOWN = "ScaleDown"
    HOLD_DOWN = "ScaleDownHeld"  # less is wanted, and the window, the rate or a rail holds it
    STALE = "StaleMetricsHold"  # demand is not known: nothing goes down
    FLOOR = "MinReplicas"
    CAP = "MaxReplicas"
    SIZES = "NoWholeSize"  # whole units make no size from the least to the most replicas
    QUOTA = "QuotaBound"
    BUDGET = "BudgetBound"
    STOCKOUT = "StockoutFallback"  # a pool does not deliver; others carry its share
    IDLE = "ScaleToZero"
    WAKE = "ScaleFromZero"
    MANUAL = "ManualOverride"  # somebody else changed the size: leave it for a while
    OFF = "Off"  # mode off or the kill switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The replicas each pool is to have, and why.

    ``replicas`` is the size wanted at once per pool; whole units only where a pool sells slices.
    ``inputs`` are the figures the reason is made of, by name with the unit in it.
    """

    replicas: Mapping[str, int]
    reason: Reason
    inputs: Mapping[str, float] = field(default_factory=dict)
    text: str = ""  # one sentence for people

    def total(self) -> int:
        """Replicas over all pools."""
        return sum(self.replicas.values())


class Controller(Protocol):
    """Decides every ``period_s`` seconds from what is observed; remembers what it has seen.

    Synchronous and deterministic: the same observations in the same order give the same decisions.
    The live loop, the simulator, the backtest and the replay drive it alike.
    """

    period_s: float

    def decide(self, seen: Observation) -> Decision:
        """The sizes wanted at ``seen.now_s``."""
        ...
