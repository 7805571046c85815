"""What is remembered of one pool between two looks, the steps there are, and what came of one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from autoscaler.actuate.nodepool.circuit import Circuit
from autoscaler.actuate.nodepool.reading import Autoscaling, Instance, Reading
from autoscaler.errors import ProviderError


class Why(StrEnum):
    """Why nothing is asked of the provider now."""

    AT_SIZE = "AtSize"
    ARRIVING = "Arriving"  # ordered, and not there yet
    OPERATION = "OperationInFlight"
    BACKING_OFF = "BackingOff"
    FOREIGN = "ManualOverride"
    GONE = "PoolGone"
    AUTOSCALED = "PoolIsAutoscaled"  # its own autoscaler would undo a size that we set
    NOT_AUTOSCALED = "PoolIsNotAutoscaled"  # there is no floor to raise
    STOCKOUT = "Stockout"
    QUOTA = "QuotaBound"
    BOUND = "AtBound"
    DRAINING = "Draining"  # too large, and no node is empty yet
    REFUSED = "Refused"  # the provider called this very request invalid
    OBSERVED = "ObserveOnly"


STUCK = frozenset(
    {
        Why.OPERATION,
        Why.BACKING_OFF,
        Why.GONE,
        Why.AUTOSCALED,
        Why.NOT_AUTOSCALED,
        Why.BOUND,
        Why.REFUSED,
    }
)
"""While it is one of these, nothing is on its way; if it lasts, others must carry the share."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Ask nothing."""

    why: Why


@dataclass(frozen=True, slots=True)
class SetSize:
    """``setSize``: so many nodes in each zone."""

    per_zone: int


@dataclass(frozen=True, slots=True)
class SetFloor:
    """``setAutoscaling``: what it is, with another minimum."""

    autoscaling: Autoscaling


@dataclass(frozen=True, slots=True)
class Release:
    """Give back these nodes, which are empty; the target falls with them."""

    instances: tuple[Instance, ...]


Write: TypeAlias = SetSize | SetFloor | Release
Step: TypeAlias = Stay | Write


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took it; ``operation`` says when it is done."""

    operation: str


Outcome: TypeAlias = Accepted | ProviderError


class What(StrEnum):
    """What happened to a pool that an operator may want to know; words of events and metrics."""

    STOCKOUT = "StockoutFallback"
    QUOTA = "QuotaBound"
    OVERRIDE = "ManualOverride"
    CONFLICT = "OperationConflict"
    FAILED = "OperationFailed"
    LATE = "LateCapacity"
    PREEMPTED = "NodesLost"
    DENIED = "PermissionDenied"
    REFUSED = "RequestRefused"
    GONE = "PoolGone"


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing to tell."""

    what: What
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """Rebuilt from the first reading after a restart; nothing here needs to be kept on disk."""

    ordered_nodes: int | None = None
    """The target that we set, or found at first; one that differs is somebody else's doing."""
    waiting_since_s: float | None = None
    """Since when there are fewer than the target, by an order or a loss; else None."""
    ordered_floor: int | None = None
    unsure: bool = False
    """A write may or may not have happened: the next reading tells, and is nobody's override."""
    operation: str = ""
    ours: bool = False
    failures: int = 0
    retry_at_s: float = -math.inf
    unread: int = 0
    """Looks in a row that the provider had no time for."""
    look_at_s: float = -math.inf
    held_until_s: float = -math.inf
    circuit: Circuit = field(default_factory=Circuit)
    trouble_since_s: float | None = None
    overdue: bool = False
    """What is on its way has been so for too long to be waited for."""
    quota_nodes: int | None = None
    quota_until_s: float = -math.inf
    ready_seen: int | None = None
    refused: Write | None = None
    refused_until_s: float = -math.inf

    def again(self) -> PoolState:
        """For who acts anew: waits go on, and what others did meanwhile is no override."""
        return replace(
            self, unsure=True, ready_seen=None, waiting_since_s=None, trouble_since_s=None
        )

    def expected(self, reading: Reading) -> int:
        """The nodes that are there or may be counted on to come."""
        return reading.ready_nodes if self.overdue else reading.coming_nodes

    def quota(self, now_s: float) -> int | None:
        """The bound that a refusal taught, while it is believed."""
        return self.quota_nodes if now_s < self.quota_until_s else None
