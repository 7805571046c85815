"""What an object's status says holds, and times as the API writes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def timestamp(wall: float) -> str:
    """Unix seconds as the API writes times: ``2026-01-02T03:04:05Z``."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(wall: float) -> str:
    """The same with microseconds, as leases and event series have them."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_of(text: str) -> float:
    """Unix seconds of a time that the API wrote. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def is_true(conditions: Sequence[Mapping[str, Any]], kind: str) -> bool:
    """Whether the condition ``kind`` is there and True."""
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)
