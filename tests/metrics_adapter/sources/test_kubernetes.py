"""What is kept of objects, and that deleted and replaced pods are gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from loadstar.clock import SystemClock
from loadstar.kube.client import Page, WatchEvent
from loadstar.kube.errors import NotFound
from loadstar.kube.reflector import MAX_OBJECTS
from loadstar.kube.resources import DEPLOYMENTS, PODS, Resource
from loadstar.kube.selectors import from_labels
from metrics_adapter.adapter_config import AdapterConfig
from metrics_adapter.query import Group, Pod
from metrics_adapter.sources import kubernetes
from metrics_adapter.store import Store

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


@pytest.mark.parametrize(
    ("phase", "ready", "changed", "been"),
    [
        pytest.param("Running", "True", "00:00:00", True, id="ready"),
        pytest.param("Running", "False", "00:00:02", False, id="not ready yet"),
        pytest.param("Running", "False", "00:09:00", True, id="no longer ready"),
        pytest.param("Pending", "False", "00:00:00", False, id="has no node"),
        pytest.param("Running", "", "", True, id="nothing is said of it"),
        pytest.param("Pending", "", "", False, id="has only been made"),
    ],
)
def test_whether_a_pod_was_ready_once(phase: str, ready: str, changed: str, been: bool) -> None:
    day = "1970-01-12T"
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": f"{day}{changed}Z"}
    status: dict[str, Any] = {"phase": phase, "conditions": [condition] if ready else []}
    if phase == "Running":
        status["startTime"] = f"{day}00:00:00Z"

    found = kubernetes.pod({**POD, "status": status})

    assert found is not None
    assert found.been_ready is been


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


def test_workloads_have_the_pods_that_name_them() -> None:
    metadata = {"name": "vllm", "namespace": "lab", "labels": {"tier": "gold"}}
    document = {"metadata": metadata, "spec": {"selector": {"matchLabels": {"app": "vllm"}}}}

    assert kubernetes.workload(DEPLOYMENTS, document) == Group(
        "deployments.apps", "lab", "vllm", None, {"tier": "gold"}, owns=True
    )


class Cluster:
    """An API server with so many pods, and nothing else."""

    def __init__(self, pods: int) -> None:
        self.pods = pods

    async def pages(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Page]:
        if resource != PODS:
            raise NotFound("the server could not find the requested resource")
        made = [
            {
                "metadata": {"name": f"p{index}", "namespace": "lab", "uid": f"u{index}"},
                "status": {"phase": "Running"},
            }
            for index in range(self.pods)
        ]
        yield Page(made, "1")

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[WatchEvent]:
        await asyncio.sleep(3600)
        yield WatchEvent("BOOKMARK", {})


async def test_a_cluster_of_more_pods_than_one_pool_could_have_is_known_whole() -> None:
    store = Store(AdapterConfig())
    objects = kubernetes.Objects(Cluster(MAX_OBJECTS + 1), SystemClock(), random.Random(1))
    running = asyncio.get_running_loop().create_task(objects.run(store))
    async with asyncio.timeout(20):
        while len(store.view().inventory.pods) <= MAX_OBJECTS:  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0.05)
    assert (objects.synced, objects.problem) == (True, "")
    running.cancel()
