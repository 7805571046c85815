"""Status conditions: what is said of an object, and since when. Pure; ``now`` is handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

Truth: TypeAlias = Literal["True", "False", "Unknown"]
MAX_MESSAGE = 32_768
"""As the API's own validation has it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that holds, does not, or is not known, and the one word that says why."""

    type: str
    status: Truth
    reason: str
    message: str = ""
    observed_generation: int | None = None


def timestamp(wall: float) -> str:
    """Unix seconds as the API writes times: ``2026-01-02T03:04:05Z``."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(wall: float) -> str:
    """The same with microseconds, as leases and event series have them."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_of(text: str) -> float:
    """Unix seconds of a time that the API wrote. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def with_condition(
    conditions: Sequence[dict[str, Any]], new: Condition, wall: float
) -> list[dict[str, Any]]:
    """``conditions`` with ``new`` in the place of the one of its type, else at the end.

    The time of transition moves only when the status does. Others' conditions stay as they are.
    """
    made: dict[str, Any] = {
        "type": new.type,
        "status": new.status,
        "reason": new.reason,
        "message": new.message[:MAX_MESSAGE],
        "lastTransitionTime": timestamp(wall),
    }
    if new.observed_generation is not None:
        made["observedGeneration"] = new.observed_generation
    found: list[dict[str, Any]] = []
    placed = False
    for condition in conditions:
        if condition.get("type") != new.type:
            found.append(condition)
        elif not placed:
            placed = True
            since = condition.get("lastTransitionTime")
            if condition.get("status") == new.status and since:
                made["lastTransitionTime"] = since
            found.append(made)
    return found if placed else [*found, made]


def is_true(conditions: Sequence[Mapping[str, Any]], kind: str) -> bool:
    """Whether the condition ``kind`` is there and True."""
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)
