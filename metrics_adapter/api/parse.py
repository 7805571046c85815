"""A path and its parameters -> a question. Pure; raises BadRequest as Kubernetes' servers do.

Segments come percent-decoded, one by one, so that ``%2A`` is ``*`` here and an escaped slash
cannot make two segments of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from loadstar.kube.selectors import EVERYTHING, Selector
from loadstar.kube.selectors import parse as parse_selector
from metrics_adapter.errors import BadRequest
from metrics_adapter.query import ALL, CustomQuery, ExternalQuery

CUSTOM_GROUP: Final = "custom.metrics.k8s.io"
EXTERNAL_GROUP: Final = "external.metrics.k8s.io"

_INVALID_PATH: Final = "invalid request path"
_SPECIAL_VERBS: Final = frozenset({"proxy", "watch"})
_INTEGERS: Final = ("limit", "timeoutSeconds")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,19}", re.ASCII)
_NAME_FIELD: Final = "metadata.name"
_FIELD: Final = re.compile(r"\s*([A-Za-z0-9_.\-]+)\s*(==|!=|=)\s*([^,=!]*)\s*")


def parse(path_segments: Sequence[str], query: Mapping[str, str]) -> CustomQuery | ExternalQuery:
    """The question of ``/apis/GROUP/VERSION/...``. Raises BadRequest."""
    if len(path_segments) < 4 or path_segments[0] != "apis":
        raise BadRequest(_INVALID_PATH)
    _, group, version, *rest = path_segments
    _check_options(query)
    if not all(rest):
        raise BadRequest(_INVALID_PATH)
    if group == CUSTOM_GROUP:
        return _custom(version, rest, query)
    if group == EXTERNAL_GROUP:
        return _external(rest, query)
    raise BadRequest(_INVALID_PATH)


def _custom(version: str, rest: Sequence[str], query: Mapping[str, str]) -> CustomQuery:
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) == 4 and rest[2] == "metrics":
        # A metric of the namespace itself.
        resource, name, metric = "namespaces", rest[1], rest[3]
    elif rest[0] == "namespaces" and len(rest) == 5:
        _, namespace, resource, name, metric = rest
    elif rest[0] not in _SPECIAL_VERBS | {"namespaces"} and len(rest) == 3:
        resource, name, metric = rest
    else:
        raise BadRequest(_INVALID_PATH)
    if (resource == "namespaces" and name == ALL) or namespace == ALL:
        raise BadRequest("metrics of several namespaces cannot be asked for at once")
    _check_fields(query.get("fieldSelector", ""), name)
    return CustomQuery(
        version,
        resource,
        namespace,
        name,
        metric,
        _selector(query, "labelSelector"),
        _selector(query, "metricLabelSelector"),
    )


def _external(rest: Sequence[str], query: Mapping[str, str]) -> ExternalQuery:
    if rest[0] != "namespaces" or len(rest) != 3:
        raise BadRequest(_INVALID_PATH)
    _check_fields(query.get("fieldSelector", ""), None)
    return ExternalQuery(rest[1], rest[2], _selector(query, "labelSelector"))


def _selector(query: Mapping[str, str], parameter: str) -> Selector:
    text = query.get(parameter, "")
    if not text:
        return EVERYTHING
    try:
        return parse_selector(text)
    except ValueError as error:
        raise BadRequest(f"unable to parse requirement: {parameter}: {error}") from None


def _check_options(query: Mapping[str, str]) -> None:
    """List options that mean nothing here must at least be what they say they are."""
    for parameter in _INTEGERS:
        value = query.get(parameter, "")
        if value and not _INTEGER.fullmatch(value):
            raise BadRequest(f"{parameter}: {value[:80]!r} is not a whole number")


def _check_fields(text: str, name: str | None) -> None:
    """``name`` is None where fields are understood and of no consequence."""
    if not text:
        return
    for part in text.split(","):
        match = _FIELD.fullmatch(part)
        if match is None:
            raise BadRequest(f"fieldSelector: {part[:80]!r} is not a field and its value")
        if name is None:
            continue
        field, operator, value = match.groups()
        if field != _NAME_FIELD or operator == "!=":
            raise BadRequest(f"fieldSelector: only {_NAME_FIELD}=NAME can be asked for")
        if name != ALL and value.strip() != name:
            raise BadRequest("fieldSelector metadata.name doesn't match requested name")
