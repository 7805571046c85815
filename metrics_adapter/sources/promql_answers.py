"""A Prometheus API's answer to an instant query -> rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from loadstar.kube.resources import Resource
from metrics_adapter.adapter_config import PromqlRule
from metrics_adapter.catalog import EXTERNAL, KNOWN, resource_called, with_model
from metrics_adapter.query import Row
from metrics_adapter.query.columns import NO_WINDOW

MOST_SERIES: Final = 50_000
_NAME: Final = "__name__"


def described(rule: PromqlRule) -> Resource:
    """What the series of ``rule`` are about. Raises ValueError."""
    if not rule.resource:
        return EXTERNAL
    name = resource_called(rule.resource)
    for known in KNOWN:
        if str(known) == name:
            return known
    raise ValueError(f"metrics of {rule.resource[:80]} are not known here")


def rows(rule: PromqlRule, answer: Any) -> list[Row]:
    """The rows of ``answer``; a series without the labels that name its object is left out.

    Raises ValueError for what is not the answer to an instant query.
    """
    if not isinstance(answer, Mapping) or answer.get("status") != "success":
        why = answer.get("error") if isinstance(answer, Mapping) else None
        raise ValueError(f"the query failed: {str(why)[:300]}")
    data = answer.get("data")
    if not isinstance(data, Mapping):
        raise ValueError("the answer has no data")
    kind, result = data.get("resultType"), data.get("result")
    if kind == "scalar" and isinstance(result, list):
        result = [{"metric": {}, "value": result}]
    elif kind != "vector" or not isinstance(result, list):
        raise ValueError(f"the query gives a {str(kind)[:40]}, not an instant vector")
    if len(result) > MOST_SERIES:
        raise ValueError(f"{len(result)} series are more than {MOST_SERIES}")
    resource = described(rule)
    found = []
    for series in result:
        row = _row(rule, resource, series)
        if row is not None:
            found.append(row)
    return found


def _row(rule: PromqlRule, resource: Resource, series: Mapping[str, Any]) -> Row | None:
    labels = {str(k): str(v) for k, v in (series.get("metric") or {}).items() if k != _NAME}
    at, text = series["value"]
    window = NO_WINDOW if rule.window is None else round(rule.window)
    namespace = labels.get(rule.namespace_label, "")
    if resource is EXTERNAL:
        key = (namespace if rule.namespaced else "", "")
    else:
        name_label = rule.name_label or resource.kind.lower()
        name = labels.pop(name_label, "")
        labels.pop(rule.namespace_label, None)
        if not name or (resource.namespaced and not namespace):
            return None
        key = (namespace if resource.namespaced else "", name)
    return Row(key, with_model(labels), float(text), float(at), window)
