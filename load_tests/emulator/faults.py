"""What can be wrong with an emulated server, as values: from the command line or POST /_fault.

Pure; ``server`` and ``replica`` act on it. Restarting is not a state but an act, so it is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any


class BadFault(ValueError):
    """A fault that does not exist, or a value it does not take."""


class Metrics(Enum):
    """What GET /metrics answers."""

    OK = "ok"
    FROZEN = "frozen"  # the page of the moment the fault began
    MISSING = "missing"  # the load gauges are not on the page
    NAN = "nan"  # the load gauges are NaN
    ERROR = "error"  # 500
    GARBAGE = "garbage"  # not Prometheus text
    SILENT = "silent"  # no answer, ever


@dataclass(frozen=True, slots=True)
class Faults:
    """All defaults: a healthy server."""

    error_rate: float = 0.0
    """Share of requests answered with ``error_status`` at once."""
    error_status: int = 500
    stalled: bool = False
    """The engine makes no step: requests are accepted and nothing comes."""
    slowness: float = 1.0
    """Each step takes this many times as long."""
    unhealthy: bool = False
    """GET /health answers 503."""
    drop_rate: float = 0.0
    """Share of requests whose connection breaks after ``drop_after_tokens`` tokens."""
    drop_after_tokens: int = 1
    metrics: Metrics = Metrics.OK
    metrics_delay_s: float = 0.0
    """Real seconds before /metrics answers."""


def changed(faults: Faults, wanted: Mapping[str, object]) -> Faults:
    """``faults`` with what ``wanted`` says (JSON values, or text). Raises BadFault."""
    known = {field.name: getattr(faults, field.name) for field in fields(faults)}
    values: dict[str, Any] = {}
    for name, value in wanted.items():
        if name not in known:
            raise BadFault(f"{name}: unknown fault; there are {', '.join(known)}")
        try:
            values[name] = _like(known[name], value)
        except (KeyError, TypeError, ValueError):
            raise BadFault(f"{name}: {value!r} is no value for it") from None
    result = replace(faults, **values)
    for name in ("error_rate", "drop_rate"):
        if not 0.0 <= getattr(result, name) <= 1.0:
            raise BadFault(f"{name}: a share is from 0 to 1")
    if result.slowness <= 0.0 or result.metrics_delay_s < 0.0:
        raise BadFault("slowness and metrics_delay_s cannot be negative")
    if not 400 <= result.error_status <= 599:
        raise BadFault("error_status: from 400 to 599")
    return result


def described(faults: Faults) -> dict[str, object]:
    """As JSON values; ``changed`` reads it back."""
    values = {field.name: getattr(faults, field.name) for field in fields(faults)}
    return {name: v.value if isinstance(v, Enum) else v for name, v in values.items()}


def _like(current: object, value: object) -> object:
    """``value`` as the type that ``current`` has."""
    match current:
        case bool():
            if isinstance(value, str):
                return {"true": True, "false": False}[value.lower()]
            if isinstance(value, bool):
                return value
            raise TypeError
        case Metrics():
            return Metrics(value)
        case int():
            return int(str(value))
        case _:
            return float(str(value))
