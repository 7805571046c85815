"""One thing that goes wrong with a plant: its kind, when, and whom it hits. Plain values.

Each kind has the keys it reads and no others: a fault that would change nothing is a mistake in the
file. Part of the plant file; unrolled in time by ``faults``; ``plant`` and ``provider`` obey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

from loadstar.config import units
from loadstar.config.load import Fraction, Parse, above, at_least, between, key

Time: TypeAlias = Annotated[float, Parse(units.duration, numbers=True), at_least(0)]
"""Seconds, or a text with a unit."""


class FaultKind(StrEnum):
    """What can go wrong."""

    STOCKOUT = "stockout"  # units asked for do not come until it is over
    PREEMPT = "preempt"  # units are taken away, at once
    QUOTA = "quota"  # the provider's limit becomes ``units``
    METRICS_GAP = "metricsGap"  # nothing is known of demand
    CAPACITY = "capacity"  # replicas do ``factor`` times the work
    SLOW = "slow"  # lead times are ``factor`` times as long
    CONFLICT = "conflict"  # somebody else's operation holds the pool
    API_ERROR = "apiError"  # mutating calls are answered ``status``
    RESIZE = "resize"  # somebody sets the pool to ``units``
    UNDO = "undo"  # the cluster autoscaler takes the newest ``units`` back
    NODE_LOSS = "nodeLoss"  # one node of ``units`` units fails: a slice is gone until repaired


INSTANT: Final = frozenset(
    {FaultKind.PREEMPT, FaultKind.RESIZE, FaultKind.UNDO, FaultKind.NODE_LOSS}
)
LASTING: Final = frozenset({FaultKind.QUOTA, FaultKind.CAPACITY, FaultKind.SLOW})
"""Without a duration these last until the end."""
NEEDS_POOL: Final = frozenset({FaultKind.QUOTA, FaultKind.RESIZE, FaultKind.UNDO})
NEEDS: Final[Mapping[FaultKind, str]] = MappingProxyType(
    {
        FaultKind.QUOTA: "units",
        FaultKind.RESIZE: "units",
        FaultKind.CAPACITY: "factor",
        FaultKind.SLOW: "factor",
    }
)
READS: Final[Mapping[FaultKind, tuple[str, ...]]] = MappingProxyType(
    {
        FaultKind.STOCKOUT: ("pool", "zone", "late"),
        FaultKind.PREEMPT: ("pool", "zone", "units", "share"),
        FaultKind.NODE_LOSS: ("pool", "zone", "units", "share"),
        FaultKind.QUOTA: ("pool", "units"),
        FaultKind.METRICS_GAP: (),
        FaultKind.CAPACITY: ("pool", "factor"),
        FaultKind.SLOW: ("pool", "factor"),
        FaultKind.CONFLICT: ("pool",),
        FaultKind.API_ERROR: ("pool", "status"),
        FaultKind.RESIZE: ("pool", "units"),
        FaultKind.UNDO: ("pool", "zone", "units"),
    }
)
"""What a kind reads beside ``at``, ``duration`` and ``every``."""
UNWELL: Final = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong from ``at`` on, for ``duration``."""

    kind: FaultKind
    at_s: Time = field(metadata=key("at"))
    duration_s: Time = field(default=0.0, metadata=key("duration"))
    every_s: Annotated[Time, above(0)] | None = field(default=None, metadata=key("every"))
    """Again after this long, until the end."""
    pool: str = ""
    """Empty: every pool."""
    zone: str = ""
    """Empty: every zone."""
    units: Annotated[int, at_least(0)] | None = None
    share: Annotated[Fraction, between(0, 1)] | None = None
    """Of the units that are up; with neither ``units`` nor ``share`` all of them."""
    factor: Annotated[float, above(0)] | None = None
    status: Annotated[int, between(400, 599)] | None = None
    """Absent: 503."""
    late: bool = False
    """Of a stockout: what was asked for and given up comes all the same, when it is over."""

    def __post_init__(self) -> None:
        for name in ("pool", "zone", "units", "share", "factor", "status", "late"):
            given = getattr(self, name)
            if given is not None and given is not False and given != "":
                self._read(name)
        if self.kind in INSTANT and self.duration_s > 0:
            raise ValueError(f"{self.kind} happens at once: remove duration")
        if self.kind not in INSTANT and self.duration_s == 0 and self.kind not in LASTING:
            raise ValueError(f"{self.kind} needs a duration")
        if self.kind in NEEDS_POOL and not self.pool:
            raise ValueError(f"{self.kind} needs a pool")
        needed = NEEDS.get(self.kind)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"{self.kind} needs {needed}")
        if self.units is not None and self.share is not None:
            raise ValueError("units and share say the same thing twice: remove one")
        if self.every_s is not None and self.every_s <= self.duration_s:
            raise ValueError("every must be longer than duration")
        if self.every_s is not None and self.duration_s == 0 and self.kind in LASTING:
            raise ValueError(f"{self.kind} without a duration lasts: remove every")

    def _read(self, name: str) -> None:
        read = READS[self.kind]
        if name not in read:
            known = ", ".join(read) if read else "no more than its times"
            raise ValueError(f"{self.kind} reads {known}: remove {name}")

    @property
    def times(self) -> float:
        """``factor``, of kinds that need one."""
        return 1.0 if self.factor is None else self.factor

    @property
    def answer(self) -> int:
        """The status of a refused call."""
        return UNWELL if self.status is None else self.status
