"""Whether a MetricsAdapterConfig is right, offline: what ``loadstar check`` asks of us."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from loadstar.config.document import Value, join
from loadstar.config.errors import ConfigError, Problem
from metrics_adapter.adapter_config import parse_config
from metrics_adapter.catalog import catalog

KINDS = ("MetricsAdapterConfig",)
OWN_KEYS = frozenset({"sources", "staleness", "quorum"})
"""Keys that tell the document where its kind is left out; ``metrics`` alone may be another's."""


def knows(document: Mapping[str, Value]) -> bool:
    """Whether it is ours, by its kind or its keys."""
    kind = document.get("kind")
    if kind is not None:
        return kind in KINDS
    return bool(OWN_KEYS & set(document))


def check(document: Mapping[str, Value], place: str) -> list[Problem]:
    """Everything that is wrong, also in what expressions and series name."""
    try:
        catalog(parse_config(orjson.dumps(document, default=str)))
    except ConfigError as error:
        return [Problem(join(place, each.path), each.message) for each in error.problems]
    return []
