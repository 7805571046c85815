"""Builders of views and questions: a test says only what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loadstar.kube.resources import INFERENCE_POOLS, PODS, Resource
from loadstar.kube.selectors import from_labels
from loadstar.kube.selectors import parse as parse_selector
from metrics_adapter.adapter_config import parse_config
from metrics_adapter.catalog import EXTERNAL, catalog
from metrics_adapter.query import (
    CustomQuery,
    ExternalQuery,
    Group,
    Inventory,
    Pod,
    Published,
    Row,
    Value,
    View,
    answer,
    column,
)

NOW = 1_000_000.0
NAMESPACE = "lab"
POOLS = str(INFERENCE_POOLS)


def row(
    name: str,
    value: float,
    *,
    ago: float = 1.0,
    labels: Mapping[str, str] | None = None,
    namespace: str = NAMESPACE,
    uid: str = "",
    window: int = -1,
    counts: Sequence[float] | None = None,
) -> Row:
    return Row((namespace, name), labels or {}, value, NOW - ago, window, uid, counts)


def told(
    metric: str, *rows: Row, resource: Resource = PODS, bounds: Sequence[float] = ()
) -> Published:
    """A source that tells one metric."""
    return Published({(str(resource), metric): (column(resource, rows, bounds),)})


def outside(
    metric: str, value: float, *, ago: float = 1.0, namespace: str = "", **labels: str
) -> Published:
    """A source that tells one series of an external metric."""
    return told(metric, Row((namespace, ""), labels, value, NOW - ago), resource=EXTERNAL)


def pod(
    name: str,
    *,
    uid: str = "",
    born_ago: float = 3600,
    been_ready: bool = True,
    owner: tuple[str, str] = ("deployments.apps", "vllm"),
    **labels: str,
) -> Pod:
    return Pod(
        NAMESPACE,
        name,
        uid or f"uid-{name}",
        labels or {"app": "vllm"},
        NOW - born_ago,
        "node-1",
        (owner,),
        been_ready=been_ready,
    )


def pool(name: str = "chat", **labels: str) -> Group:
    return Group(POOLS, NAMESPACE, name, from_labels(labels or {"app": "vllm"}))


def deployment(name: str = "vllm", **labels: str) -> Group:
    return Group("deployments.apps", NAMESPACE, name, None, labels, owns=True)


def view(
    *published: Published,
    pods: Sequence[Pod] | None = None,
    groups: Sequence[Group] = (),
    config: str = "",
) -> View:
    """``pods`` None is no Kubernetes to ask."""
    parsed = parse_config(config)
    inventory = Inventory(pods or (), groups, known=pods is not None)
    return View(catalog(parsed), published, inventory, parsed.staleness, parsed.quorum)


def ask(
    known: View,
    metric: str,
    *,
    name: str = "*",
    resource: str = "pods",
    namespace: str | None = NAMESPACE,
    selecting: str = "",
    series: str = "",
) -> list[Value]:
    query = CustomQuery(
        "v1beta2",
        resource,
        namespace,
        name,
        metric,
        parse_selector(selecting),
        parse_selector(series),
    )
    return answer(known, query, NOW)


def ask_outside(
    known: View, metric: str, selecting: str = "", namespace: str = NAMESPACE
) -> list[Value]:
    return answer(known, ExternalQuery(namespace, metric, parse_selector(selecting)), NOW)


def numbers(values: Sequence[Value]) -> dict[str, float]:
    """Name of each object -> its value."""
    return {value.described.name: value.value for value in values if value.described is not None}
