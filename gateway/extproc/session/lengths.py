"""Read a content-length: a number only where it is one."""

from __future__ import annotations

MOST_DIGITS = 18
"""More is no length; and int() of a long string is slow."""


def declared_length(value: str | None) -> int | None:
    """The length ``value`` declares; None if there is none, or none that can be believed."""
    if not value or len(value) > MOST_DIGITS or not (value.isascii() and value.isdigit()):
        return None
    return int(value)
