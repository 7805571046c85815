"""Which document a path asks for. Pure; the rim fetches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from metrics_adapter.api.discovery import Served
from metrics_adapter.api.health import ENDPOINTS
from metrics_adapter.security.attributes import GROUP_PARTS


class Kind(Enum):
    """The documents there are."""

    HEALTH = auto()
    METRICS = auto()
    VERSION = auto()
    INDEX = auto()
    GROUPS = auto()
    GROUP = auto()
    RESOURCES = auto()
    OPENAPI_V2 = auto()
    OPENAPI_V3 = auto()
    OPENAPI_V3_GROUP = auto()
    VALUES = auto()


@dataclass(frozen=True, slots=True)
class Route:
    """A document; ``group`` and ``version`` where it is about one API."""

    kind: Kind
    group: str = ""
    version: str = ""


_PLAIN: Mapping[tuple[str, ...], Kind] = {
    (): Kind.INDEX,
    ("metrics",): Kind.METRICS,
    ("version",): Kind.VERSION,
    ("apis",): Kind.GROUPS,
    ("openapi", "v2"): Kind.OPENAPI_V2,
    ("openapi", "v3"): Kind.OPENAPI_V3,
}


def is_health(segments: Sequence[str]) -> bool:
    """Whether it is a probe: ``/readyz``, ``/readyz/ping``."""
    return bool(segments) and segments[0] in ENDPOINTS and len(segments) <= 2


def route(segments: Sequence[str], served: Served) -> Route | None:
    """None for a path that is none of ours."""
    if is_health(segments):
        return Route(Kind.HEALTH)
    plain = _PLAIN.get(tuple(segments))
    if plain is not None:
        return Route(plain)
    if tuple(segments[:2]) == ("openapi", "v3"):
        group_version = tuple(segments[2:])
        if len(group_version) == 3 and group_version[0] == "apis":
            return _of(Kind.OPENAPI_V3_GROUP, group_version[1], group_version[2], served)
        return None
    if len(segments) < 2 or segments[0] != "apis" or segments[1] not in served:
        return None
    if len(segments) == 2:
        return Route(Kind.GROUP, segments[1])
    kind = Kind.RESOURCES if len(segments) == GROUP_PARTS else Kind.VALUES
    return _of(kind, segments[1], segments[2], served)


def _of(kind: Kind, group: str, version: str, served: Served) -> Route | None:
    return Route(kind, group, version) if version in served.get(group, ()) else None
