"""The policy's JSON Schema, made from the very classes that the loader fills.

For editors and for admission; the loader stays the judge of what spans several fields. Called by
the test that keeps the published file true.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Final

from autoscaler.policy import schedule
from autoscaler.policy.model import API_VERSION, KIND, Policy
from loadstar.config import units
from loadstar.config.load import NOT_EMPTY, Check, Parse, key_of

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_DURATION: Final = r"^[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$|^0$"
_PERCENT: Final = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)%$"
_WORDS: Final[Mapping[str, dict[str, Any]]] = MappingProxyType(
    {
        schedule.TIME.message: {"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"},
        schedule.DATE.message: {"format": "date"},
        schedule.ZONE.message: {"minLength": 1},
        NOT_EMPTY.message: {"minLength": 1},
    }
)


def policy_schema() -> dict[str, Any]:
    """The schema of the whole document."""
    made = schema_of(Policy)
    header = {"apiVersion": {"const": API_VERSION}, "kind": {"const": KIND}}
    made["properties"] = {**header, **made["properties"]}
    made["properties"]["mode"]["enum"].append(False)  # off without quotation marks, read as YAML
    return {"$schema": DRAFT, "title": KIND, **made}


def schema_of(shape: type[Any]) -> dict[str, Any]:
    """The schema of one class and of all that it is made of."""
    hints = typing.get_type_hints(shape, include_extras=True)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field in dataclasses.fields(shape):
        name = key_of(field)
        properties[name] = _of(hints[field.name])
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(name)
        elif isinstance(field.default, str | int | float | bool) and field.default != "":
            default = field.default.value if isinstance(field.default, Enum) else field.default
            if "pattern" not in str(properties[name]):  # a duration's default is no text
                properties[name]["default"] = default
    made: dict[str, Any] = {
        "type": "object",
        "description": (shape.__doc__ or "").split("\n")[0],
        "additionalProperties": False,
        "properties": properties,
    }
    return {**made, "required": required} if required else made


def _of(hint: Any) -> dict[str, Any]:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _annotated(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = [o for o in typing.get_args(hint) if o is not types.NoneType]
        return _of(inner)
    if origin is tuple:
        return {"type": "array", "items": _of(typing.get_args(hint)[0])}
    if origin in (Mapping, dict):
        return {"type": "object", "additionalProperties": _of(typing.get_args(hint)[1])}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return schema_of(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    return {"type": {bool: "boolean", str: "string", int: "integer", float: "number"}[hint]}


def _annotated(hint: Any) -> dict[str, Any]:
    base, *marks = typing.get_args(hint)
    made = _of(base)
    for mark in marks:
        if isinstance(mark, Parse):
            made = _written(mark)
        elif isinstance(mark, Check):
            _narrow(made, mark)
    return made


def _written(mark: Parse) -> dict[str, Any]:
    patterns: dict[Callable[[str], object], str] = {
        units.duration: _DURATION,
        units.fraction: _PERCENT,
    }
    text = {"type": "string", "pattern": patterns[mark.parse]}
    return {"anyOf": [{"type": "number"}, text]} if mark.numbers else text


def _narrow(made: dict[str, Any], check: Check) -> None:
    """Bounds are told by the words of the check, which are also what a person reads."""
    if check.message in _WORDS:
        words = _WORDS[check.message]
        made.update({"minItems": 1} if made.get("type") == "array" else words)
        return
    numbers = [float(word) for word in check.message.split() if _is_number(word)]
    target = made["anyOf"][0] if "anyOf" in made else made
    if target.get("type") not in ("number", "integer"):
        return
    if check.message.startswith("must be at least"):
        target["minimum"] = numbers[0]
    elif check.message.startswith("must be more than"):
        target["exclusiveMinimum"] = numbers[0]
    elif check.message.startswith("must be between"):
        target["minimum"], target["maximum"] = numbers


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(policy_schema(), indent=2) + "\n")
