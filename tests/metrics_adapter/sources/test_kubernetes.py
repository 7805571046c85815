"""What is kept of objects, and that deleted and replaced pods are gone."""

from __future__ import annotations

from typing import Any

from loadstar.kube.selectors import from_labels
from metrics_adapter.query import Group, Pod
from metrics_adapter.sources import kubernetes

POD: dict[str, Any] = {
    "metadata": {
        "name": "vllm-5f9c7-x2x4p",
        "namespace": "lab",
        "uid": "u1",
        "creationTimestamp": "1970-01-12T13:46:40Z",
        "labels": {"app": "vllm", "pod-template-hash": "5f9c7"},
        "annotations": {"prometheus.io/port": "9000"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "vllm-5f9c7", "controller": True}],
    },
    "spec": {"nodeName": "n1"},
    "status": {"phase": "Running", "podIP": "10.0.0.1"},
}


def test_what_matters_of_a_pod() -> None:
    assert kubernetes.pod(POD) == Pod(
        "lab",
        "vllm-5f9c7-x2x4p",
        "u1",
        {"app": "vllm", "pod-template-hash": "5f9c7"},
        1_000_000.0,
        "n1",
        (("deployments.apps", "vllm"),),
        "10.0.0.1",
        9000,
    )


def test_a_pod_that_is_being_deleted_or_has_ended_is_none() -> None:
    deleted = {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "x"}}

    assert kubernetes.pod(deleted) is None
    assert kubernetes.pod({**POD, "status": {"phase": "Failed"}}) is None
    assert kubernetes.pod({**POD, "status": {"phase": "Pending"}}) is not None


def test_parts_of_sets_know_what_they_are_parts_of() -> None:
    metadata = {
        "name": "lws-0-1",
        "namespace": "lab",
        "labels": {"leaderworkerset.sigs.k8s.io/name": "lws"},
        "ownerReferences": [{"kind": "StatefulSet", "name": "lws-0", "controller": True}],
    }

    found = kubernetes.pod({"metadata": metadata, "spec": {}, "status": {}})

    assert found is not None
    assert found.owners == (
        ("statefulsets.apps", "lws-0"),
        ("leaderworkersets.leaderworkerset.x-k8s.io", "lws"),
    )


def test_groups_select_pods() -> None:
    metadata = {"name": "chat", "namespace": "lab", "labels": {"x": "y"}}
    labels = {"app": "vllm"}
    selector = from_labels(labels)

    assert kubernetes.service({"metadata": metadata, "spec": {"selector": labels}}) == Group(
        "services", "lab", "chat", selector, {"x": "y"}
    )
    for written in (labels, {"matchLabels": labels}):
        assert kubernetes.pool({"metadata": metadata, "spec": {"selector": written}}) == Group(
            "inferencepools.inference.networking.k8s.io", "lab", "chat", selector, {"x": "y"}
        )
    assert kubernetes.service({"metadata": metadata, "spec": {}}).selector is None
