"""A request line's target -> path, its decoded segments, and the query. Pure, and strict.

Escapes are decoded segment by segment, after the path was split and before anything is matched:
``%2A`` is ``*``, and an encoded slash stays inside its segment and so can open no other path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from metrics_adapter.errors import BadRequest

MAX_PARAMETERS = 64
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Target:
    """What a request line asks for."""

    path: str
    """Decoded, as rules for paths are matched against."""
    segments: tuple[str, ...]
    query: Mapping[str, str]
    """The first value of each parameter, as Go's servers take them."""
    pairs: Sequence[tuple[str, str]] = ()
    """All of them, in order."""

    def every(self, parameter: str) -> frozenset[str]:
        """All values of one that may be there several times."""
        return frozenset(value for key, value in self.pairs if key == parameter)


def read(target: str) -> Target:
    """Raises BadRequest."""
    raw, _, text = target.partition("?")
    if not raw.startswith("/"):
        raise BadRequest("invalid request path")
    parts = raw[1:].split("/")
    if parts[-1] == "":
        parts.pop()  # one slash at the end means nothing
    segments = tuple(_decoded(part) for part in parts)
    if any(segment in ("", ".", "..") for segment in segments):
        raise BadRequest("invalid request path")
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict"
        )
    except ValueError as error:
        raise BadRequest(f"invalid query: {error}") from error
    query: dict[str, str] = {}
    for key, value in pairs:
        query.setdefault(key, value)
    path = "/" + "/".join(segments)
    return Target(path + "/" if raw.endswith("/") and segments else path, segments, query, pairs)


def _decoded(part: str) -> str:
    if "%" not in part:
        return part
    if BAD_ESCAPE.search(part):
        raise BadRequest("invalid request path")
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("invalid request path") from error
    if "\x00" in text:
        raise BadRequest("invalid request path")
    return text
