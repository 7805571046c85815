"""The text of a samples file -> rows. Pure, strict, and fast enough for 20,000 of them.

JSON goes through orjson, YAML of the plainest kind through ``plain_yaml``, and any other is read
as a stream of events: every scalar of a row is text here, so the tree that a YAML library would
build first is not needed. 20,000 rows took 5.2 s as that tree, 0.9 s as events.
"""

from __future__ import annotations

import datetime
import math
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import orjson
import yaml

from loadstar.config import units
from loadstar.config.errors import ConfigError, Problems, did_you_mean, not_utf8
from loadstar.kube.resources import Resource
from metrics_adapter.catalog import EXTERNAL, resource_of
from metrics_adapter.catalog.naming import selectable
from metrics_adapter.query import Published, Row, column
from metrics_adapter.query.ask import NO_LABELS
from metrics_adapter.query.columns import NO_WINDOW, WHENEVER
from metrics_adapter.sources import plain_yaml, yaml_events

MOST_BYTES: Final = 64 << 20
MOST_ROWS: Final = 100_000
MOST_PROBLEMS: Final = 20
_NOW: Final = "now"
_ROW_KEYS: Final = (
    "object",
    "external",
    "namespace",
    "metric",
    "labels",
    "value",
    "timestamp",
    "window_s",
)
_OBJECT_KEYS: Final = ("kind", "namespace", "name", "apiVersion", "uid")
_NOT_A_NUMBER: Final = frozenset({"nan", ".nan"})
_INFINITE: Final = re.compile(r"[-+]?\.?inf", re.IGNORECASE)

Plain: TypeAlias = Any
"""Mappings, lists, and scalars as text (from YAML) or as JSON has them."""


def published(text: bytes) -> Published:
    """All rows of ``text``, by resource and metric. Raises ConfigError with what is wrong."""
    document = _read(text)
    if document is None:
        return Published()
    if not isinstance(document, Mapping):
        raise ConfigError.of("", "must be a mapping with the key samples")
    for key in document:
        if key != "samples":
            raise ConfigError.of(str(key), f"unknown key{did_you_mean(str(key), ['samples'])}")
    samples = document.get("samples")
    if samples is None:
        return Published()
    if not isinstance(samples, list):
        raise ConfigError.of("samples", "must be a list")
    if len(samples) > MOST_ROWS:
        raise ConfigError.of("samples", f"{len(samples)} rows are more than {MOST_ROWS}")
    found: dict[tuple[str, str], tuple[Resource, list[Row]]] = {}
    problems = Problems()
    wrong = 0
    for index, sample in enumerate(samples):
        try:
            resource, metric, row = _row(sample)
        except ValueError as error:
            wrong += 1
            if wrong <= MOST_PROBLEMS:
                problems.add(f"samples[{index}]", str(error))
            continue
        found.setdefault((str(resource), metric), (resource, []))[1].append(row)
    problems.raise_if_any()
    return Published({key: (column(resource, rows),) for key, (resource, rows) in found.items()})


def _row(sample: Plain) -> tuple[Resource, str, Row]:
    if not isinstance(sample, Mapping):
        raise ValueError("must be a mapping")
    for key in sample:
        if key not in _ROW_KEYS:
            raise ValueError(f"{key}: unknown key{did_you_mean(str(key), _ROW_KEYS)}")
    metric = _text(sample, "metric")
    if "/" in metric:
        raise ValueError("metric: must not contain a slash")
    described = sample.get("object")
    outside = sample.get("external") in (True, "true")
    if outside == (described is not None):
        raise ValueError("needs either object, or external: true")
    uid = ""
    if outside:
        resource, key = EXTERNAL, (_text(sample, "namespace", default=""), "")
    else:
        resource, key, uid = _object(described)
    window = sample.get("window_s")
    return (
        resource,
        metric,
        Row(
            key,
            _labels(sample.get("labels")),
            _value(sample.get("value")),
            _time(sample.get("timestamp")),
            NO_WINDOW if window is None else _seconds(window),
            uid,
        ),
    )


def _object(described: Plain) -> tuple[Resource, tuple[str, str], str]:
    if not isinstance(described, Mapping):
        raise ValueError("object: must be a mapping with kind and name")
    for key in described:
        if key not in _OBJECT_KEYS:
            raise ValueError(f"object.{key}: unknown key{did_you_mean(str(key), _OBJECT_KEYS)}")
    resource = resource_of(_text(described, "kind"), _text(described, "apiVersion", default=""))
    name = _text(described, "name")
    namespace = _text(described, "namespace", default="")
    if not resource.namespaced:
        namespace = ""
    elif not namespace:
        raise ValueError(f"object.namespace: is required for a {resource.kind}")
    return resource, (namespace, name), _text(described, "uid", default="")


def _text(mapping: Mapping[str, Plain], key: str, default: str | None = None) -> str:
    value = mapping.get(key)
    if value is None or value == "":
        if default is None:
            raise ValueError(f"{key}: is required")
        return default
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{key}: must be a string")
    # One text each, whoever says it: a pod is named in each of its rows.
    return sys.intern(str(value))


def _labels(value: Plain) -> Mapping[str, str]:
    if value is None:
        return NO_LABELS
    if not isinstance(value, Mapping):
        raise ValueError("labels: must be a mapping")
    return selectable({str(name): _text(value, name, default="") for name in value})


def _value(value: Plain) -> float:
    """A number or a quantity; what is not finite is kept, and never told."""
    if value is None:
        raise ValueError("value: is required")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    if text.lower() in _NOT_A_NUMBER or _INFINITE.fullmatch(text):
        return math.nan
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(units.quantity(text))
    except ValueError:
        raise ValueError(f"value: {text[:80]!r} is neither a number nor a quantity") from None


def _time(value: Plain) -> float:
    if value is None:
        raise ValueError("timestamp: is required (RFC 3339, or now)")
    text = str(value).strip()
    if text == _NOW:
        return WHENEVER
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"timestamp: {text[:80]!r} is neither RFC 3339 nor now") from None
    if moment.tzinfo is None:
        raise ValueError(f"timestamp: {text[:80]!r} names no time zone (a Z at its end)")
    return moment.timestamp()


def _seconds(value: Plain) -> int:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds <= 1e9:
        raise ValueError(f"window_s: {str(value)[:80]!r} is not a number of seconds")
    return round(seconds)


def _read(text: bytes) -> Plain:
    if len(text) > MOST_BYTES:
        raise ConfigError.of("", f"{len(text)} bytes are more than {MOST_BYTES}")
    if text.lstrip()[:1] == b"{":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # a flow mapping of YAML, perhaps
    try:
        decoded = text.decode()
        plain = plain_yaml.read(decoded)
        return yaml_events.read(decoded) if plain is None else plain
    except UnicodeDecodeError as error:
        raise ConfigError.of("", not_utf8(error)) from None
    except yaml.YAMLError as error:
        raise ConfigError.of("", f"not YAML: {' '.join(str(error).split())[:200]}") from None
