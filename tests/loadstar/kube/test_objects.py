"""The typed views: what is kept of a document, and what makes it unusable."""

from __future__ import annotations

from typing import Any

import pytest

from loadstar.kube.objects import (
    InferencePool,
    ObjectRef,
    Pod,
    Scale,
    inference_pool,
    pod,
    ref,
    scale,
)
from loadstar.kube.resources import PODS


def pod_document(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "vllm-0",
            "namespace": "lab",
            "uid": "u1",
            "resourceVersion": "7",
            "labels": {"app": "vllm"},
            "annotations": {"wanted": "1", "large": "x" * 9},
            "ownerReferences": [
                {"kind": "Thing", "name": "t"},
                {"kind": "ReplicaSet", "name": "vllm", "controller": True},
            ],
        },
        "spec": {"nodeName": "n1"},
        "status": status,
    }


def test_a_ready_pod() -> None:
    document = pod_document(podIP="2001:DB8:0::7", conditions=[{"type": "Ready", "status": "True"}])
    assert pod(document, annotations=frozenset({"wanted"})) == Pod(
        name="vllm-0",
        namespace="lab",
        uid="u1",
        address="2001:db8::7",
        ready=True,
        terminating=False,
        labels={"app": "vllm"},
        annotations={"wanted": "1"},
        node="n1",
        owner="ReplicaSet/vllm",
    )
    assert ref(document, PODS) == ObjectRef("v1", "Pod", "vllm-0", "lab", "u1", "7")


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"conditions": [{"type": "Ready", "status": "False"}]},
        {"conditions": [{"type": "Ready", "status": "Unknown"}]},
        {"conditions": [{"type": "ContainersReady", "status": "True"}]},
    ],
)
def test_a_pod_that_does_not_say_so_is_not_ready(status: dict[str, Any]) -> None:
    assert pod(pod_document(**status)).ready is False


def test_a_pod_that_goes() -> None:
    document = pod_document()
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pod(document).terminating


@pytest.mark.parametrize(
    ("spec", "selector", "ports"),
    [
        pytest.param(
            {
                "selector": {"matchLabels": {"app": "a"}},
                "targetPorts": [{"number": 8000}, {"number": 8001}],
            },
            {"app": "a"},
            (8000, 8001),
            id="v1",
        ),
        pytest.param(
            {"selector": {"app": "a"}, "targetPortNumber": 8000}, {"app": "a"}, (8000,), id="alpha"
        ),
    ],
)
def test_a_pool_of_either_group(
    spec: dict[str, Any], selector: dict[str, str], ports: tuple[int, ...]
) -> None:
    document = {"metadata": {"name": "p", "namespace": "lab", "uid": "u"}, "spec": spec}
    assert inference_pool(document) == InferencePool("p", "lab", "u", selector, ports)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {"selector": {"matchLabels": {}}, "targetPorts": [{"number": 1}]},
        {"selector": {"matchLabels": {"a": "b"}}},
        {"selector": {"matchLabels": {"a": "b"}}, "targetPorts": [{"number": 0}]},
        {"selector": {"matchLabels": {"a": "b"}}, "targetPorts": [{}]},
    ],
)
def test_a_pool_that_says_too_little_is_refused(spec: object) -> None:
    with pytest.raises(ValueError, match=r"spec"):
        inference_pool({"metadata": {"name": "p", "namespace": "lab"}, "spec": spec})


def test_a_scale() -> None:
    document = {
        "metadata": {"name": "d", "namespace": "lab", "uid": "u", "resourceVersion": "9"},
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": "app=vllm"},
    }
    assert scale(document) == Scale("d", "lab", "u", "9", wanted=3, current=2, selector="app=vllm")


def test_an_object_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="name: is missing"):
        pod({"metadata": {}})
