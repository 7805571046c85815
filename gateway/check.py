"""What ``loadstar check`` asks the gateway: whether its configurations and endpoints are right.

An EndpointPickerConfig is read, bound and built exactly as at start-up; a document with
``endpoints`` as the discovery would read it. What a configuration names (its endpoints file) is
checked too, where it is on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import orjson

from gateway.config.defaults import DEFAULT
from gateway.config.picker import KIND, EndpointPickerConfig
from gateway.datalayer.confidence import confidence
from gateway.datalayer.endpoints_file import parse as parse_endpoints
from gateway.datalayer.extract.catalog import engines
from gateway.plugins.catalog import CATALOG
from gateway.scheduling.build import build as bind
from gateway.scheduling.plugin_type import Settings
from loadstar.config.document import Value
from loadstar.config.errors import ConfigError, Problem, Remark
from loadstar.config.load import build, key_of

KINDS = (KIND,)
_OF_A_PICKER = frozenset(key_of(field) for field in fields(EndpointPickerConfig)) - {"apiVersion"}
STALENESS_SECONDS = 2.0


def knows(document: Mapping[str, Value]) -> bool:
    """Whether it is a gateway's. Neither kind need be written where nothing else could stand."""
    if "kind" in document:
        return document["kind"] == KIND
    return "endpoints" in document or bool(_OF_A_PICKER & document.keys())


def check(document: Mapping[str, Value], place: str) -> list[Problem]:
    """Everything that is wrong with it, or else what there is to say."""
    try:
        if "endpoints" in document and "kind" not in document:
            found = parse_endpoints(orjson.dumps(dict(document)))
            return [Remark(place, f"{len(found.endpoints)} endpoints")]
        return _picker(document, place)
    except ConfigError as error:
        return [problem.within(place) for problem in error.problems]


def _picker(document: Mapping[str, Value], place: str) -> list[Problem]:
    settings = Settings(
        confidence=lambda observed_at, now: confidence(observed_at, now, STALENESS_SECONDS)
    )
    built = bind(build(EndpointPickerConfig, document), CATALOG, settings, DEFAULT)
    engines(built.data_layer.extractor)
    said: list[Problem] = [Remark(n.path, n.message) for n in built.notices]
    if built.data_layer.discovery is not None:
        said += _endpoints(Path(built.data_layer.discovery.path))
    return [problem.within(place) for problem in said]


def _endpoints(file: Path) -> list[Problem]:
    """What there is to say of the endpoints file that a configuration names."""
    try:
        text = file.read_bytes()
    except OSError as error:  # it may well be on the machine that will serve, and not on this one
        return [Remark("", f"{file}: not checked: {error.strerror}")]
    try:
        return [Remark("", f"{file}: {len(parse_endpoints(text).endpoints)} endpoints")]
    except ConfigError as error:
        return [Problem("", f"{file}: {problem}") for problem in error.problems]
