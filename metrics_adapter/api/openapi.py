"""OpenAPI v2 and v3 of the served APIs: what their paths and documents look like. Pure.

The aggregator fetches these and merges them into the cluster's own; nothing breaks without.
Written by rule from the few shapes that there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from metrics_adapter.api.discovery import Served, etag
from metrics_adapter.api.parse import CUSTOM_GROUP
from metrics_adapter.api.render import dump

TITLE: Final = "Loadstar metrics adapter"
VERSION: Final = "v1"

_STRING: Final[dict[str, object]] = {"type": "string"}
_QUANTITY: Final[dict[str, object]] = {"type": "string", "description": "A Kubernetes quantity."}
_TIME: Final[dict[str, object]] = {"type": "string", "format": "date-time"}
_SECONDS: Final[dict[str, object]] = {"type": "integer", "format": "int64"}
_WORDS: Final[dict[str, object]] = {"type": "object", "additionalProperties": _STRING}
_REFERENCE: Final[dict[str, object]] = {
    "type": "object",
    "properties": dict.fromkeys(("kind", "namespace", "name", "apiVersion"), _STRING),
}
_SELECTOR: Final[dict[str, object]] = {
    "type": "object",
    "properties": {
        "matchLabels": _WORDS,
        "matchExpressions": {"type": "array", "items": {"type": "object"}},
    },
}
_ITEMS: Final[Mapping[str, Mapping[str, object]]] = {
    "custom.metrics.k8s.io/v1beta1": {
        "describedObject": _REFERENCE,
        "metricName": _STRING,
        "timestamp": _TIME,
        "window": _SECONDS,
        "value": _QUANTITY,
        "selector": _SELECTOR,
    },
    "custom.metrics.k8s.io/v1beta2": {
        "describedObject": _REFERENCE,
        "metric": {"type": "object", "properties": {"name": _STRING, "selector": _SELECTOR}},
        "timestamp": _TIME,
        "windowSeconds": _SECONDS,
        "value": _QUANTITY,
    },
    "external.metrics.k8s.io/v1beta1": {
        "metricName": _STRING,
        "metricLabels": _WORDS,
        "timestamp": _TIME,
        "window": _SECONDS,
        "value": _QUANTITY,
    },
}
_CUSTOM_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "namespaces/{namespace}/{resource}/{name}/{metric}": (
        "namespace",
        "resource",
        "name",
        "metric",
    ),
    "namespaces/{namespace}/metrics/{metric}": ("namespace", "metric"),
    "{resource}/{name}/{metric}": ("resource", "name", "metric"),
}
_EXTERNAL_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "namespaces/{namespace}/{metric}": ("namespace", "metric")
}


def v2(served: Served) -> dict[str, object]:
    """``/openapi/v2``: everything in one document."""
    paths: dict[str, object] = {}
    definitions: dict[str, object] = {}
    for group, versions in served.items():
        for version in versions:
            name = _list_name(group, version)
            definitions[name] = _list_schema(group, version)
            answer = {"description": "OK", "schema": {"$ref": f"#/definitions/{name}"}}
            for path, variables in _paths(group).items():
                paths[f"/apis/{group}/{version}/{path}"] = {
                    "get": _operation(
                        group,
                        version,
                        path,
                        [{**_variable(each), "type": "string"} for each in variables],
                        answer,
                        {"produces": ["application/json"]},
                    )
                }
    return {
        "swagger": "2.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": paths,
        "definitions": definitions,
    }


def v3_root(served: Served) -> dict[str, object]:
    """``/openapi/v3``: where the document of each version is, named for its content."""
    paths: dict[str, object] = {}
    for group, versions in served.items():
        for version in versions:
            body = dump(v3(group, version), indent=False)
            name = f"apis/{group}/{version}"
            digest = etag(body).strip('"')
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
    return {"paths": paths}


def v3(group: str, version: str) -> dict[str, object]:
    """``/openapi/v3/apis/GROUP/VERSION``."""
    name = _list_name(group, version)
    schema = {"$ref": f"#/components/schemas/{name}"}
    answer = {"description": "OK", "content": {"application/json": {"schema": schema}}}
    return {
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": {
            f"/apis/{group}/{version}/{path}": {
                "get": _operation(
                    group,
                    version,
                    path,
                    [{**_variable(each), "schema": _STRING} for each in variables],
                    answer,
                    {},
                )
            }
            for path, variables in _paths(group).items()
        },
        "components": {"schemas": {name: _list_schema(group, version)}},
    }


def _paths(group: str) -> Mapping[str, tuple[str, ...]]:
    return _CUSTOM_PATHS if group == CUSTOM_GROUP else _EXTERNAL_PATHS


def _variable(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True}


def _operation(
    group: str,
    version: str,
    path: str,
    parameters: list[dict[str, Any]],
    answer: Mapping[str, object],
    more: Mapping[str, object],
) -> dict[str, object]:
    words = [part.strip("{}").capitalize() for part in path.split("/")]
    prefix = "".join(word.capitalize() for word in group.split(".")[0:2])
    return {
        "operationId": f"get{prefix}{version.capitalize()}{''.join(words)}",
        "tags": [f"{group}_{version}"],
        "parameters": parameters,
        "responses": {"200": answer},
        **more,
    }


def _list_name(group: str, version: str) -> str:
    kind = "MetricValueList" if group == CUSTOM_GROUP else "ExternalMetricValueList"
    return f"io.k8s.metrics.{group.split('.')[0]}.{version}.{kind}"


def _list_schema(group: str, version: str) -> dict[str, object]:
    kind = "MetricValueList" if group == CUSTOM_GROUP else "ExternalMetricValueList"
    item = {"type": "object", "properties": dict(_ITEMS[f"{group}/{version}"])}
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _STRING,
            "kind": _STRING,
            "metadata": {"type": "object"},
            "items": {"type": "array", "items": item},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
    }
