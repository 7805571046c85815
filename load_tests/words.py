"""Numbers of a command line, as argparse's ``type``: each refusal says what the number must be.

Every command of ``load_tests`` takes its numbers through here; names of things are its own.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MOST_PORT = 65_535


def whole(least: int) -> Callable[[str], int]:
    """Whole numbers of ``least`` or more."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return value

    return read


def above(lowest: float) -> Callable[[str], float]:
    """Finite numbers above ``lowest``."""
    return _finite(lambda value: value > lowest, f"above {lowest:g}")


def at_least(lowest: float) -> Callable[[str], float]:
    """Finite numbers of ``lowest`` or more."""
    return _finite(lambda value: value >= lowest, f"of {lowest:g} or more")


def port(text: str) -> int:
    """A port that can be asked for by its number."""
    if not (text.isdecimal() and 1 <= int(text) <= MOST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to {MOST_PORT})")
    return int(text)


def port_or_any(text: str) -> int:
    """``port``, or 0 for any that is free."""
    return 0 if text == "0" else port(text)


def several(one: Callable[[str], T]) -> Callable[[str], list[T]]:
    """What ``one`` reads, with commas between."""

    def read(text: str) -> list[T]:
        return [one(part) for part in text.split(",")]

    return read


def _finite(suits: Callable[[float], bool], asked: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and suits(value)):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {asked}")
        return value

    return read


count, seed = whole(1), whole(0)
positive = above(0)
