"""Text or plain values -> frozen dataclasses, strictly, with every problem named by its path.

A configuration is a tree of frozen dataclasses; the field's type says what is accepted. Keys are
the camelCase of the field's name (or ``field(metadata=key("loraSpec"))``). Units and bounds ride
on the type: ``Annotated[float, Duration]``, ``Annotated[int, at_least(1)]``. A class checks what
spans several fields in ``__post_init__`` by raising ValueError. null is the same as absent.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast

from loadstar.config import units
from loadstar.config.document import join, read
from loadstar.config.errors import Problems, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parse:
    """Marks a field that is written as text with a unit; ``parse`` raises ValueError."""

    parse: Callable[[str], object]
    numbers: bool = False
    """A bare number is accepted as well, as it is."""


@dataclass(frozen=True, slots=True)
class Check:
    """Marks a field whose value must satisfy ``holds``; ``message`` says what it must be."""

    holds: Callable[[Any], bool]
    message: str


Seconds: TypeAlias = Annotated[float, Parse(units.duration)]
"""Written as a Go duration (``250ms``), held in seconds."""
Whole: TypeAlias = Annotated[int, Parse(units.whole, numbers=True)]
"""Written as a Kubernetes quantity (``16Gi``) or a number, held as an int rounded up."""
Fraction: TypeAlias = Annotated[float, Parse(units.fraction, numbers=True)]
"""Written as ``30%`` or 0.3, held as 0.3."""


def at_least(bound: float) -> Check:
    return Check(lambda value: value >= bound, f"must be at least {bound:g}")


def above(bound: float) -> Check:
    return Check(lambda value: value > bound, f"must be more than {bound:g}")


def between(low: float, high: float) -> Check:
    return Check(lambda value: low <= value <= high, f"must be between {low:g} and {high:g}")


def one_of(*allowed: str) -> Check:
    words = " or ".join(allowed)
    return Check(lambda value: value in allowed, f"must be {words}")


NOT_EMPTY: Final = Check(lambda value: len(value) > 0, "must not be empty")


def key(name: str) -> Mapping[str, str]:
    """Field metadata: the key in the document, where it is not the camelCase of the field."""
    return MappingProxyType({"key": name})


def key_of(field: dataclasses.Field[Any]) -> str:
    """The key under which ``field`` is written."""
    return str(field.metadata.get("key", _camel(field.name)))


def load(shape: type[T], text: str | bytes) -> T:
    """``text`` (YAML or JSON) as a ``shape``. Raises ConfigError with everything that is wrong."""
    return build(shape, read(text))


def build(shape: type[T], value: object, path: str = "") -> T:
    """A plain value as a ``shape`` (a dataclass; null and absent give its defaults).

    ``path`` is where the value stands in its document. Raises ConfigError.
    """
    problems = Problems()
    made = _dataclass(shape, {} if value is None else value, path, problems)
    problems.raise_if_any()
    return cast("T", made)


_FAILED: Final = object()
"""What a conversion gives after it has reported a problem."""


@lru_cache(maxsize=256)
def _fields(shape: type[Any]) -> Mapping[str, tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(shape, include_extras=True)
    return MappingProxyType(
        {
            key_of(field): (field, hints[field.name])
            for field in dataclasses.fields(shape)
            if field.init
        }
    )


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def _dataclass(shape: type[Any], value: object, path: str, problems: Problems) -> object:
    if not isinstance(value, Mapping):
        problems.add(path, f"must be a mapping, not {_described(value)}")
        return _FAILED
    fields = _fields(shape)  # type: ignore[arg-type]  # mypy doubts that a class is hashable
    failed = False
    for given in value:
        if given not in fields:
            problems.add(join(path, given), f"unknown key{did_you_mean(given, fields)}")
            failed = True
    arguments: dict[str, object] = {}
    for name, (field, hint) in fields.items():
        given_value = value.get(name)
        if given_value is None:
            if field.default is MISSING and field.default_factory is MISSING:
                problems.add(join(path, name), "is required")
                failed = True
            continue
        converted = _convert(hint, given_value, join(path, name), problems)
        failed = failed or converted is _FAILED
        arguments[field.name] = converted
    if failed:
        return _FAILED
    try:
        return shape(**arguments)
    except ValueError as error:
        problems.add(path, str(error))
        return _FAILED


def _convert(hint: Any, value: object, path: str, problems: Problems) -> object:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _annotated(hint, value, path, problems)
    if origin in (types.UnionType, typing.Union):
        inner = [option for option in typing.get_args(hint) if option is not types.NoneType]
        return _convert(inner[0], value, path, problems)
    if origin is tuple:
        return _tuple(typing.get_args(hint)[0], value, path, problems)
    if origin in (Mapping, dict):
        return _mapping(typing.get_args(hint)[1], value, path, problems)
    if hint in (object, Any):
        return _frozen(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, path, problems)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint, value, path, problems)
    return _scalar(hint, value, path, problems)


def _annotated(hint: Any, value: object, path: str, problems: Problems) -> object:
    inner, *marks = typing.get_args(hint)
    parse = next((mark for mark in marks if isinstance(mark, Parse)), None)
    if parse is not None and isinstance(value, str):
        try:
            converted = parse.parse(value)
        except ValueError as error:
            problems.add(path, str(error))
            return _FAILED
    elif parse is not None and not parse.numbers:
        problems.add(path, f"must be text with a unit, not {_described(value)}")
        return _FAILED
    else:
        converted = _convert(inner, value, path, problems)
        if converted is _FAILED:
            return _FAILED
    for mark in marks:
        if isinstance(mark, Check) and not mark.holds(converted):
            problems.add(path, f"{mark.message}, not {_described(value)}")
            return _FAILED
    return converted


def _tuple(item: Any, value: object, path: str, problems: Problems) -> object:
    if not isinstance(value, list | tuple):
        problems.add(path, f"must be a list, not {_described(value)}")
        return _FAILED
    made = []
    for index, element in enumerate(value):
        here = f"{path}[{index}]"
        if element is None:
            problems.add(here, "must not be null")
            made.append(_FAILED)
        else:
            made.append(_convert(item, element, here, problems))
    return _FAILED if any(element is _FAILED for element in made) else tuple(made)


def _mapping(item: Any, value: object, path: str, problems: Problems) -> object:
    if not isinstance(value, Mapping):
        problems.add(path, f"must be a mapping, not {_described(value)}")
        return _FAILED
    made = {
        name: _convert(item, element, join(path, name), problems) for name, element in value.items()
    }
    return _FAILED if any(e is _FAILED for e in made.values()) else MappingProxyType(made)


def _enum(shape: type[Enum], value: object, path: str, problems: Problems) -> object:
    for member in shape:
        if member.value == value and type(member.value) is type(value):
            return member
    words = ", ".join(str(member.value) for member in shape)
    hint = did_you_mean(value, (str(m.value) for m in shape)) if isinstance(value, str) else ""
    problems.add(path, f"must be one of {words}, not {_described(value)}{hint}")
    return _FAILED


def _scalar(hint: Any, value: object, path: str, problems: Problems) -> object:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Compared, not asked whether it is finite: an int of 400 digits is, and is no float.
        if hint is float and abs(value) <= sys.float_info.max:
            return float(value)
        # 5.0 is how some writers of JSON say 5.
        if hint is int and (isinstance(value, int) or value.is_integer()) and abs(value) < 2**63:
            return int(value)
    if hint not in _NAMES:
        raise TypeError(f"{path}: a field of type {hint!r} cannot be read from a document")
    problems.add(path, f"must be {_NAMES[hint]}, not {_described(value)}")
    return _FAILED


_NAMES: Final = MappingProxyType(
    {bool: "true or false", str: "a string", int: "a whole number", float: "a finite number"}
)


def _described(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _frozen(value: object) -> object:
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(item) for name, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value
