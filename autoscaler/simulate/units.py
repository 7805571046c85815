"""What a pool's fleet is made of: units and pods, the stages of their lives, their lead times.

Plain state; what becomes of it is decided by ``fleet``.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from enum import Enum

from autoscaler.simulate.plant_file import Shape, Spread

LONGEST_TAIL = 4.0
"""A lead time is cut at so many medians."""


class Unit(Enum):
    """The life of a unit."""

    ASKED = 0  # the provider has accepted it and has nothing to give
    STARTING = 1
    UP = 2
    GONE = 3


class Pod(Enum):
    """The life of a pod."""

    WAITING = 0  # for a node
    LOADING = 1
    READY = 2
    DRAINING = 3
    GONE = 4


@dataclass(slots=True, eq=False)
class Tally:
    """One model's pods in a pool, counted."""

    wanted: int = 0
    ready: int = 0
    starting: int = 0
    draining: int = 0
    lost_ready: int = 0  # ready pods lost at once since it was last set to 0


@dataclass(slots=True, eq=False)
class UnitState:
    """One unit: a node or a slice."""

    number: int
    zone: str
    state: Unit
    asked_s: float
    pods: list[PodState] = field(default_factory=list)
    empty_since_s: float | None = None
    life: int = 0
    """Grows whenever events on their way no longer mean this unit."""

    def takes(self, tally: Tally, room: int) -> bool:
        """Whether one more pod of ``tally`` fits: models do not share a unit."""
        return len(self.pods) < room and (not self.pods or self.pods[0].of is tally)


@dataclass(slots=True, eq=False)
class PodState:
    """One replica."""

    state: Pod
    of: Tally
    unit: UnitState | None = None
    life: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetShape:
    """What a pool's units are like."""

    replicas_per_unit: int
    node_lead: Spread
    pod_lead: Spread
    warm_lead: Spread
    drain_s: float
    hazard_per_hour: float
    release_after_s: float


def drawn(spread: Spread, rng: random.Random) -> float:
    """One duration of the distribution, in seconds."""
    if spread.shape is Shape.LOGNORMAL:
        factor = min(math.exp(rng.gauss(0.0, spread.spread)), LONGEST_TAIL)
    else:
        factor = 1.0 + spread.spread * (2.0 * rng.random() - 1.0)
    return spread.median_s * factor
