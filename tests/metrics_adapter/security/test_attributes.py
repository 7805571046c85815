"""Paths as kube-apiserver reads them when it asks whether a caller may."""

from __future__ import annotations

import pytest

from metrics_adapter.security.attributes import Attributes, attributes

CUSTOM, EXTERNAL = "custom.metrics.k8s.io", "external.metrics.k8s.io"


def of(path: str, method: str = "GET", **query: str) -> Attributes:
    segments = tuple(part for part in path.split("/") if part)
    return attributes(method, path, segments, query)


def about(path: str, verb: str, version: str = "v1beta2", **said: str) -> Attributes:
    group = EXTERNAL if EXTERNAL in path else CUSTOM
    return Attributes(verb, path, group, version, **said)


@pytest.mark.parametrize(
    ("path", "verb", "said"),
    [
        (
            f"/apis/{CUSTOM}/v1beta2/namespaces/lab/pods/*/kv",
            "get",
            {"namespace": "lab", "resource": "pods", "name": "*", "subresource": "kv"},
        ),
        (
            f"/apis/{CUSTOM}/v1beta2/namespaces/lab/deployments.apps/vllm/tokens",
            "get",
            {
                "namespace": "lab",
                "resource": "deployments.apps",
                "name": "vllm",
                "subresource": "tokens",
            },
        ),
        (
            f"/apis/{CUSTOM}/v1beta2/namespaces/lab/metrics/queue",
            "get",
            {"namespace": "lab", "resource": "metrics", "name": "queue"},
        ),
        (
            f"/apis/{CUSTOM}/v1beta2/nodes/n1/gpu",
            "get",
            {"resource": "nodes", "name": "n1", "subresource": "gpu"},
        ),
        (
            f"/apis/{CUSTOM}/v1beta2/namespaces/lab/status/x",
            "get",
            {"namespace": "lab", "resource": "namespaces", "name": "lab", "subresource": "status"},
        ),
        (
            f"/apis/{CUSTOM}/v1beta2/namespaces/lab",
            "get",
            {"namespace": "lab", "resource": "namespaces", "name": "lab"},
        ),
        (f"/apis/{CUSTOM}/v1beta2/watch/pods", "watch", {"resource": "pods"}),
    ],
)
def test_resource_paths(path: str, verb: str, said: dict[str, str]) -> None:
    assert of(path) == about(path, verb, **said)


def test_an_external_metric_is_listed() -> None:
    path = f"/apis/{EXTERNAL}/v1beta1/namespaces/lab/queue"
    said = {"namespace": "lab", "resource": "queue"}
    assert of(path) == about(path, "list", "v1beta1", **said)
    assert of(path, watch="true") == about(path, "watch", "v1beta1", **said)
    assert of(path, "DELETE") == about(path, "deletecollection", "v1beta1", **said)
    assert of(path, "POST") == about(path, "create", "v1beta1", **said)


@pytest.mark.parametrize("path", ["/", "/apis", f"/apis/{CUSTOM}", f"/apis/{CUSTOM}/v1beta2"])
def test_discovery_names_no_resource(path: str) -> None:
    assert of(path) == Attributes("get", path)
    assert of("/metrics", "HEAD") == Attributes("head", "/metrics")


def test_a_head_of_a_resource_is_a_get() -> None:
    assert of(f"/apis/{CUSTOM}/v1beta2/nodes/n1/gpu", "HEAD").verb == "get"
