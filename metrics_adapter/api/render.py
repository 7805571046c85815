"""Values -> the documents of custom.metrics.k8s.io and external.metrics.k8s.io. Pure.

A value that no quantity can say is left out: one such would make an HPA refuse the whole list.
Where none is left the answer is NotFound: an empty list says that all is well.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from loadstar.kube.selectors import Operator, Selector
from metrics_adapter.api.parse import CUSTOM_GROUP, EXTERNAL_GROUP
from metrics_adapter.api.quantities import quantity
from metrics_adapter.errors import BadRequest, NotFound
from metrics_adapter.query import CustomQuery, ExternalQuery, Value
from metrics_adapter.query.reasons import unsayable


def render(
    query: CustomQuery | ExternalQuery, values: Sequence[Value], *, indent: bool = False
) -> bytes:
    """The document that answers ``query``, of one value or more.

    Raises BadRequest for a selector it cannot repeat, NotFound if there is nothing to say.
    """
    if isinstance(query, ExternalQuery):
        kind, version = "ExternalMetricValueList", f"{EXTERNAL_GROUP}/v1beta1"
        shaped = [_external(value) for value in values]
    else:
        kind, version = "MetricValueList", f"{CUSTOM_GROUP}/{query.version}"
        selector = label_selector(query.metric_selector)
        shape = _custom_v1beta1 if query.version == "v1beta1" else _custom_v1beta2
        shaped = [shape(value, selector) for value in values]
    items = [item for item in shaped if item is not None]
    if not items:
        raise NotFound(unsayable(query))
    document = {"kind": kind, "apiVersion": version, "metadata": {}, "items": items}
    return dump(document, indent=indent)


def dump(document: object, *, indent: bool) -> bytes:
    """JSON, for programs or for people."""
    if not indent:
        return orjson.dumps(document)
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def label_selector(selector: Selector) -> dict[str, object] | None:
    """``selector`` as a metav1.LabelSelector; None where there was none."""
    if not selector.requirements:
        return None
    labels: dict[str, str] = {}
    expressions: list[dict[str, object]] = []
    for requirement in selector.requirements:
        operator = requirement.operator
        single = operator is Operator.IN and len(requirement.values) == 1
        if single and requirement.key not in labels:
            labels[requirement.key] = requirement.values[0]
            continue
        if operator in (Operator.GREATER, Operator.LESS):
            raise BadRequest(f"metricLabelSelector: {requirement} has no form in the answer")
        expression: dict[str, object] = {"key": requirement.key, "operator": operator.value}
        if requirement.values:
            expression["values"] = list(requirement.values)
        expressions.append(expression)
    written: dict[str, object] = {}
    if labels:
        written["matchLabels"] = labels
    if expressions:
        written["matchExpressions"] = expressions
    return written


def _custom_v1beta2(value: Value, selector: object) -> dict[str, Any] | None:
    text = _quantity(value)
    if text is None:
        return None
    item: dict[str, Any] = {
        "describedObject": _described(value),
        "metric": {"name": value.metric, "selector": selector},
        "timestamp": timestamp(int(value.at)),
    }
    if value.window_seconds is not None:
        item["windowSeconds"] = value.window_seconds
    item["value"] = text
    return item


def _custom_v1beta1(value: Value, selector: object) -> dict[str, Any] | None:
    text = _quantity(value)
    if text is None:
        return None
    item: dict[str, Any] = {
        "describedObject": _described(value),
        "metricName": value.metric,
        "timestamp": timestamp(int(value.at)),
    }
    if value.window_seconds is not None:
        item["window"] = value.window_seconds
    item["value"] = text
    item["selector"] = selector
    return item


def _external(value: Value) -> dict[str, Any] | None:
    text = _quantity(value)
    if text is None:
        return None
    item: dict[str, Any] = {
        "metricName": value.metric,
        "metricLabels": dict(value.labels),
        "timestamp": timestamp(int(value.at)),
    }
    if value.window_seconds is not None:
        item["window"] = value.window_seconds
    item["value"] = text
    return item


def _described(value: Value) -> dict[str, str]:
    described = value.described
    assert described is not None  # custom metrics describe an object
    written = {"kind": described.kind}
    if described.namespace:
        written["namespace"] = described.namespace
    written["name"] = described.name
    written["apiVersion"] = described.api_version
    return written


def _quantity(value: Value) -> str | None:
    try:
        return quantity(value.value)
    except ValueError:
        return None


@lru_cache(4096)
def timestamp(at: int) -> str:
    """Unix seconds as metav1.Time says them."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
