"""Text that UTF-8 cannot carry, made so that it can: odd bytes are shown as ``\\xff``.

Header values are decoded with surrogateescape, so that any bytes survive on their way through. Logs
and traces are JSON and protobuf, which refuse such text. Pure; called by both.
"""

from __future__ import annotations

from collections.abc import Mapping

_LARGEST = 1 << 63
"""What an integer of JSON must be below, for those who read it into 64 bits."""


def legible(text: str) -> str:
    """``text`` itself where UTF-8 carries it; else with its odd bytes escaped. Total."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a pair that was never a byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def legible_value(value: object) -> object:
    """As JSON can say it, all the way down: what it cannot is said by ``str``."""
    match value:
        case None | bool() | float():
            return value
        case int() if -_LARGEST <= value < _LARGEST:
            return value
        case Mapping():
            return {legible(str(key)): legible_value(each) for key, each in value.items()}
        case list() | tuple():
            return [legible_value(each) for each in value]
        case _:
            return legible(str(value))
