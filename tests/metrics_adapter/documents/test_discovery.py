"""Discovery: what clients, the aggregator and kubectl learn of the APIs."""

from __future__ import annotations

from typing import Any

from metrics_adapter.api import discovery, openapi
from metrics_adapter.api.discovery import EVERY_API
from metrics_adapter.api.render import dump
from tests.metrics_adapter.views import outside, row, told, view

FEW = view(
    told("my_gauge", row("a", 1)),
    outside("my_queue", 3),
    config="{defaults: false, metrics: [{name: m, from: [x], external: true}]}",
)


def test_groups_prefer_the_newest_version() -> None:
    assert discovery.groups(EVERY_API) == {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": "custom.metrics.k8s.io",
                "versions": [
                    {"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"},
                    {"groupVersion": "custom.metrics.k8s.io/v1beta1", "version": "v1beta1"},
                ],
                "preferredVersion": {
                    "groupVersion": "custom.metrics.k8s.io/v1beta2",
                    "version": "v1beta2",
                },
            },
            {
                "name": "external.metrics.k8s.io",
                "versions": [
                    {"groupVersion": "external.metrics.k8s.io/v1beta1", "version": "v1beta1"}
                ],
                "preferredVersion": {
                    "groupVersion": "external.metrics.k8s.io/v1beta1",
                    "version": "v1beta1",
                },
            },
        ],
    }


def test_an_api_that_is_switched_off_is_not_listed() -> None:
    only = {"custom.metrics.k8s.io": ("v1beta2",)}

    assert [group["name"] for group in _list(discovery.groups(only), "groups")] == [
        "custom.metrics.k8s.io"
    ]
    assert len(_list(discovery.aggregated(FEW, only, "v2"), "items")) == 1


def test_resources_are_the_table_and_what_sources_add() -> None:
    custom = discovery.resources(FEW, "custom.metrics.k8s.io", "v1beta2")
    listed = _list(custom, "resources")

    assert custom["groupVersion"] == "custom.metrics.k8s.io/v1beta2"
    assert [resource["name"] for resource in listed] == [
        "deployments.apps/m",
        "inferencepools.inference.networking.k8s.io/m",
        "leaderworkersets.leaderworkerset.x-k8s.io/m",
        "namespaces/m",
        "nodes/m",
        "pods/m",
        "pods/my_gauge",
        "services/m",
        "statefulsets.apps/m",
    ]
    assert listed[5] == {
        "name": "pods/m",
        "singularName": "",
        "namespaced": True,
        "kind": "MetricValueList",
        "verbs": ["get"],
    }
    assert {resource["name"] for resource in listed if not resource["namespaced"]} == {
        "namespaces/m",
        "nodes/m",
    }
    external = discovery.resources(FEW, "external.metrics.k8s.io", "v1beta1")
    assert _list(external, "resources") == [
        {
            "name": name,
            "singularName": "",
            "namespaced": True,
            "kind": "ExternalMetricValueList",
            "verbs": ["get"],
        }
        for name in ("m", "my_queue")
    ]


def test_before_anything_is_told_the_table_is_listed() -> None:
    """Some clients take an empty list for a failure."""
    assert _list(discovery.resources(view(), "external.metrics.k8s.io", "v1beta1"), "resources")


def test_aggregated_discovery_holds_the_same_under_both_names() -> None:
    document = discovery.aggregated(FEW, EVERY_API, "v2")
    custom, external = _list(document, "items")

    assert document["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert [version["version"] for version in custom["versions"]] == ["v1beta2", "v1beta1"]
    pods = next(r for r in custom["versions"][0]["resources"] if r["resource"] == "pods")
    assert pods == {
        "resource": "pods",
        "responseKind": {"group": "", "version": "", "kind": ""},
        "scope": "Namespaced",
        "singularResource": "",
        "verbs": [],
        "subresources": [
            {
                "subresource": metric,
                "responseKind": {"group": "", "version": "", "kind": "MetricValueList"},
                "verbs": ["get"],
            }
            for metric in ("m", "my_gauge")
        ],
    }
    assert [r["resource"] for r in external["versions"][0]["resources"]] == ["m", "my_queue"]
    older = discovery.aggregated(FEW, EVERY_API, "v2beta1")
    assert older == {**document, "apiVersion": "apidiscovery.k8s.io/v2beta1"}


def test_no_resource_is_both_in_a_namespace_and_in_none() -> None:
    """kube-apiserver throws away the whole version of a group where one is."""
    scopes: dict[str, set[bool]] = {}
    for line in view(told("x", row("a", 1))).custom_listing:
        scopes.setdefault(line.resource, set()).add(line.namespaced)

    assert all(len(scope) == 1 for scope in scopes.values())


def test_equal_content_has_an_equal_etag() -> None:
    def tag(metric: str) -> str:
        known = view(told(metric, row("a", 1)))
        return discovery.etag(dump(discovery.aggregated(known, EVERY_API, "v2"), indent=False))

    assert tag("x") == tag("x")
    assert tag("x") != tag("y")
    assert tag("x").startswith('"')


def test_openapi_names_every_path_once() -> None:
    two = openapi.v2(EVERY_API)
    paths: Any = two["paths"]
    operations = [entry["get"]["operationId"] for entry in paths.values()]

    assert "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}" in paths
    assert len(operations) == len(set(operations)) == 7
    roots: Any = openapi.v3_root(EVERY_API)["paths"]
    assert set(roots) == {
        "apis/custom.metrics.k8s.io/v1beta2",
        "apis/custom.metrics.k8s.io/v1beta1",
        "apis/external.metrics.k8s.io/v1beta1",
    }
    three: Any = openapi.v3("custom.metrics.k8s.io", "v1beta2")
    assert three["openapi"] == "3.0.0"
    assert three["paths"].keys() < paths.keys()


def _list(document: dict[str, object], key: str) -> list[dict[str, Any]]:
    found = document[key]
    assert isinstance(found, list)
    return found
