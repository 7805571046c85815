"""What to write so that a workload has the size that is wanted. Pure; called by the driver.

Where an autoscaler of its own stands (an HPA, or KEDA's), only its floor is moved: from below the
floor it goes up within one sync, past tolerance, stabilisation and rate, and above it it keeps
reacting by itself. It is inert at 0 replicas, so 0 <-> 1 goes through the scale subresource.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One look at it. ``floor`` and ``ceiling`` are None where no autoscaler stands over it."""

    replicas: int
    floor: int | None = None
    ceiling: int | None = None
    floor_may_be_zero: bool = False


@dataclass(frozen=True, slots=True)
class Floor:
    """Move the autoscaler's floor."""

    replicas: int


@dataclass(frozen=True, slots=True)
class Count:
    """Set the workload's own count."""

    replicas: int


Change: TypeAlias = Floor | Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What we wrote last; what differs from it is somebody else's."""

    floor: int | None = None
    count: int | None = None
    held_until_s: float = -math.inf

    def of(self, change: Change) -> Written:
        """After ``change`` has been written."""
        if isinstance(change, Floor):
            return replace(self, floor=change.replicas)
        return replace(self, count=change.replicas)

    def again(self) -> Written:
        """Where what is there may be our own doing, or long ago: the next look learns it anew."""
        return replace(self, floor=None, count=None)


def seen(
    written: Written, workload: Workload, now_s: float, override_s: float
) -> tuple[Written, str]:
    """What is remembered after a look, and what somebody else did, in words; "" for nothing."""
    text = ""
    if workload.floor is None:
        if written.count is not None and workload.replicas != written.count:
            text = f"{workload.replicas} replicas, not the {written.count} set here"
        written = replace(written, count=workload.replicas, floor=None)
    else:
        if written.floor is not None and workload.floor != written.floor:
            text = f"a floor of {workload.floor} replicas, not the {written.floor} set here"
        written = replace(written, floor=workload.floor, count=None)
    if text:
        written = replace(written, held_until_s=now_s + override_s)
    return written, text


def changes(written: Written, workload: Workload, wanted: int, now_s: float) -> tuple[Change, ...]:
    """The writes towards ``wanted`` replicas, in order; none while an override is respected."""
    if now_s < written.held_until_s:
        return ()
    if workload.floor is None:
        return () if workload.replicas == wanted else (Count(wanted),)
    found: list[Change] = []
    lowest = 0 if workload.floor_may_be_zero else 1
    floor = max(wanted, lowest)
    if workload.ceiling is not None:
        floor = min(floor, workload.ceiling)
    if floor != workload.floor:
        found.append(Floor(floor))
    if wanted == 0 and workload.replicas > 0 and not workload.floor_may_be_zero:
        # Its autoscaler rests at 0 replicas and goes on when somebody sets them again.
        found.append(Count(0))
    elif wanted > 0 and workload.replicas == 0:
        found.append(Count(floor))
    return tuple(found)
