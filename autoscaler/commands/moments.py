"""Moments on a command line: ``2026-05-01T12:00:00Z``, ``-15m``, and back to text. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from loadstar.config import units

LATEST_S = 253_402_300_799.0
"""The last second that can be written with a year of four digits."""


def moment_s(text: str, now_s: float) -> float:
    """Unix seconds of ``text``: a time, Unix seconds, or a duration before now. ValueError."""
    if text.startswith("-"):
        return now_s - units.duration(text[1:])
    try:
        given_s = float(text)
    except ValueError:
        pass
    else:
        if not 0 <= given_s <= LATEST_S:
            raise ValueError(f"{text} is no moment in Unix seconds")
        return given_s
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a moment; write 2026-05-01T12:00:00Z, or -15m for a while ago"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def shown(at_s: float) -> str:
    """``at_s`` as people read it, in UTC to the second."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
