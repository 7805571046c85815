"""Values read from a line, taken only if they are of the type that they were written as. Pure.

A ledger may come from anywhere: what a tool has mangled is told by its name, not by where a planner
stumbles over it minutes later. Called by ``entries``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")


def made_of(shape: type[T], values: object) -> T:
    """A dataclass of plain numbers from ``values`` by field. Raises ValueError."""
    known = _kinds(shape)  # type: ignore[arg-type]  # mypy doubts that a class is hashable
    given = mapping(shape.__name__, values)
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{shape.__name__} has no {name}")
        if not _fits(value, known[name]):
            raise ValueError(f"{shape.__name__}.{name} is {value!r}")
    try:
        return shape(**given)
    except TypeError as error:
        raise ValueError(str(error)) from None


def number(name: str, value: object) -> float:
    """A number, whole or not. Raises ValueError."""
    if not _fits(value, (float,)):
        raise ValueError(f"{name} is {value!r}, no number")
    return typing.cast("float", value)


def whole(name: str, value: object) -> int:
    """A whole number of 64 bits. Raises ValueError."""
    if not _fits(value, (int,)):
        raise ValueError(f"{name} is {value!r}, no whole number")
    return typing.cast("int", value)


def text(name: str, value: object) -> str:
    """A string. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, no text")
    return value


def mapping(name: str, value: object) -> Mapping[str, Any]:
    """An object. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r}, no object")
    return value


def _fits(value: object, kinds: tuple[object, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int):
        return (int in kinds and abs(value) < 1 << 63) or float in kinds
    return type(value) in kinds


@lru_cache(maxsize=16)
def _kinds(shape: type[Any]) -> dict[str, tuple[object, ...]]:
    """What each field may hold: float, or float and nothing, and so on."""
    hints = typing.get_type_hints(shape)
    return {
        field.name: typing.get_args(hints[field.name]) or (hints[field.name],)
        for field in dataclasses.fields(shape)
    }
