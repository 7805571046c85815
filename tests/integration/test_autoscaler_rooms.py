"""Floors, counts and rooms by the real API server: server-side apply, scale subresources, CRDs.

The kinds of KEDA, LeaderWorkerSet and the autoscaling group are installed with the fields that are
written here and no others, strictly: a field that is misspelt is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from autoscaler.actuate.gate import Gate
from autoscaler.actuate.preflight.finding import Level
from autoscaler.actuate.rungs import documents, ladder
from autoscaler.actuate.rungs.driver import RoomDriver
from autoscaler.actuate.workload.documents import LEADER_WORKER_SETS, SCALED_OBJECTS
from autoscaler.actuate.workload.driver import WorkloadDriver
from autoscaler.commands.preflight_cluster import in_cluster
from autoscaler.policy.model import Mode, TargetPolicy, load_policy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from loadstar.clock import SystemClock
from loadstar.kube.client import KubeClient
from loadstar.kube.credentials import Credentials
from loadstar.kube.resources import Resource
from tests.controlplane.api import ApiError
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until
from tests.loadstar.kube.kube_fixtures import kubeconfig_may_block

__all__ = ["kubeconfig_may_block"]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(120)]

INT, TEXT = {"type": "integer"}, {"type": "string"}
POD = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def fields(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


REFERENCE = fields(apiGroup=TEXT, kind=TEXT, name=TEXT)
POD_SET = fields(podTemplateRef=fields(name=TEXT), count=INT)
SPECS: dict[Resource, dict[str, Any]] = {
    SCALED_OBJECTS: fields(scaleTargetRef=REFERENCE, minReplicaCount=INT, maxReplicaCount=INT),
    LEADER_WORKER_SETS: fields(replicas=INT, leaderWorkerTemplate=POD),
    documents.BUFFERS: fields(provisioningStrategy=TEXT, scalableRef=REFERENCE, replicas=INT),
    documents.REQUESTS: fields(
        provisioningClassName=TEXT, podSets={"type": "array", "items": POD_SET}
    ),
}


PRIORITY = fields(machineFamily=TEXT, machineType=TEXT, gpu=fields(type=TEXT, count=INT))
CLASS = fields(
    priorities={"type": "array", "maxItems": 100, "items": PRIORITY},
    minimumCapacity=fields(targetNodeCount=INT),
    whenUnsatisfiable={**TEXT, "default": "DoNotScaleUp"},
)
"""Of a ComputeClass what the rung touches, and the rule by which it may be refused."""
CLASS["required"] = ["whenUnsatisfiable"]
CLASS["x-kubernetes-validations"] = [
    {
        "rule": "!has(self.minimumCapacity) || !has(self.minimumCapacity.targetNodeCount) || "
        "self.priorities.all(each, has(each.machineType) || has(each.gpu))",
        "message": "a minimum needs the machine of each priority",
    }
]
SPECS[documents.CLASSES] = CLASS


def definition(resource: Resource, spec: dict[str, Any]) -> dict[str, Any]:
    subresources: dict[str, Any] = {"status": {}}
    if resource is LEADER_WORKER_SETS:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
        }
    schema = fields(spec=spec, status=POD)
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": subresources,
    }
    names = {
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "kind": resource.kind,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{resource.group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": names,
            "versions": [version],
        },
    }


@pytest.fixture(scope="module")
def kinds(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    made = [definition(resource, spec) for resource, spec in SPECS.items()]
    control_plane.objects.apply(made)
    for resource in SPECS:  # a kind that has just been made may be Established and not yet served
        wait_until(partial(_lists, control_plane, resource), within_s=10, what=str(resource))
    yield control_plane
    for each in made:
        control_plane.objects.delete(each)


def _lists(plane: ControlPlane, resource: Resource) -> bool:
    try:
        plane.objects.list(resource.api_version, resource.kind, "default")
    except ApiError:
        return False
    return True


@asynccontextmanager
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    credentials = Credentials(str(plane.kubeconfig), environment={})
    async with KubeClient(credentials, SystemClock(), user_agent="test") as kube:
        yield kube


def gate() -> Gate:
    return Gate(mode=lambda: Mode.ACTIVE, leads=lambda _seconds: True)


def deployment(namespace: str) -> dict[str, Any]:
    labels = {"app": "llama"}
    resources = {"limits": {"nvidia.com/gpu": "2"}, "requests": {"cpu": "4"}}
    pod = {
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "containers": [{"name": "m", "image": "none", "resources": resources}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llama", "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


async def test_kedas_floor_and_groups_of_pods(kinds: ControlPlane, kube_namespace: str) -> None:
    place = {"name": "llama", "namespace": kube_namespace}
    scaled = {"scaleTargetRef": {"name": "llama"}, "minReplicaCount": 1, "maxReplicaCount": 9}
    given = [
        deployment(kube_namespace),
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": place,
            "spec": scaled,
        },
        {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": place,
            "spec": {"replicas": 1},
        },
    ]
    await asyncio.to_thread(kinds.objects.apply, given)
    async with client(kinds) as kube:
        keda = TargetPolicy(name="llama", scaled_object="llama")
        await WorkloadDriver(keda, kube_namespace, kube, gate(), override_s=900.0).tick(6, 0.0)
        groups = TargetPolicy(kind="LeaderWorkerSet", name="llama")
        driver = WorkloadDriver(groups, kube_namespace, kube, gate(), override_s=900.0)
        await driver.tick(3, 0.0)
        assert (await driver.tick(3, 15.0)).written == ()
        found = await kube.get(SCALED_OBJECTS, "llama", kube_namespace)
        assert found["spec"] == {**scaled, "minReplicaCount": 6}
        sets = await kube.get(LEADER_WORKER_SETS, "llama", kube_namespace)
        assert sets["spec"]["replicas"] == 3


@pytest.mark.parametrize("mode", [PoolMode.BUFFER, PoolMode.PLACEHOLDER])
async def test_room_is_made_and_given_back(
    kinds: ControlPlane, kube_namespace: str, mode: PoolMode
) -> None:
    await asyncio.to_thread(kinds.objects.apply, deployment(kube_namespace))
    pool = PoolPolicy(name="l4", mode=mode)
    async with client(kinds) as kube:
        room = RoomDriver(pool, mode, TargetPolicy(name="llama"), kube_namespace, kube, gate())
        await room.tick(5, 2, 0.0)
        resource = documents.BUFFERS if mode is PoolMode.BUFFER else PLACEHOLDERS
        found = await kube.get(resource, "loadstar-l4", kube_namespace)
        assert found["spec"]["replicas"] == 3
        await room.tick(5, 5, 15.0)
        found = await kube.get(resource, "loadstar-l4", kube_namespace)
        assert found["spec"]["replicas"] == 0
        if mode is PoolMode.PLACEHOLDER:
            (container,) = found["spec"]["template"]["spec"]["containers"]
            assert container["resources"]["limits"] == {"cpu": "4", "nvidia.com/gpu": "2"}
            await kube.delete(documents.PRIORITIES, documents.PRIORITY)


def compute_class(name: str, **priority: Any) -> dict[str, Any]:
    return {
        "apiVersion": documents.CLASSES.api_version,
        "kind": documents.CLASSES.kind,
        "metadata": {"name": name},
        "spec": {"priorities": [priority]},
    }


async def test_a_class_keeps_a_minimum_of_nodes_and_all_else_of_its_operator(
    kinds: ControlPlane, kube_namespace: str
) -> None:
    gpu = {"type": "nvidia-l4", "count": 2}
    await asyncio.to_thread(kinds.objects.apply, compute_class("l4", gpu=gpu))
    pool = PoolPolicy(name="l4", mode=PoolMode.COMPUTE_CLASS)
    async with client(kinds) as kube:
        target = TargetPolicy(name="llama")
        room = RoomDriver(pool, pool.mode, target, kube_namespace, kube, gate())
        assert (await room.tick(5, 2, 0.0)).lesser == ""
        found = await kube.get(documents.CLASSES, "l4")
        assert found["spec"] == {
            "priorities": [{"gpu": gpu}],
            "minimumCapacity": {"targetNodeCount": 5},
            "whenUnsatisfiable": "DoNotScaleUp",
        }
        await room.tick(0, 0, 15.0)
        found = await kube.get(documents.CLASSES, "l4")
        assert found["spec"]["minimumCapacity"] == {"targetNodeCount": 0}


async def test_a_class_that_names_no_machine_is_left_as_it_is_and_placeholders_serve(
    kinds: ControlPlane, kube_namespace: str
) -> None:
    """The rule refuses the minimum, and this server has never heard of buffers."""
    any_machine = compute_class("any", machineFamily="n4")
    await asyncio.to_thread(kinds.objects.apply, [deployment(kube_namespace), any_machine])
    pool = PoolPolicy(name="any", mode=PoolMode.COMPUTE_CLASS)
    async with client(kinds) as kube:
        target = TargetPolicy(name="llama")
        room = RoomDriver(pool, pool.mode, target, kube_namespace, kube, gate())
        assert "a minimum needs the machine" in (await room.tick(5, 2, 0.0)).lesser
        assert "no buffers" in (await room.tick(5, 2, 15.0)).lesser
        await room.tick(5, 2, 30.0)
        found = await kube.get(PLACEHOLDERS, "loadstar-any", kube_namespace)
        assert found["spec"]["replicas"] == 3
        spec = (await kube.get(documents.CLASSES, "any"))["spec"]
        assert spec["priorities"] == [{"machineFamily": "n4"}]
        assert not {"minimumCapacity", "buffers"} & spec.keys()
        await kube.delete(documents.PRIORITIES, documents.PRIORITY)


PLACEHOLDERS = Resource("apps", "v1", "deployments", "Deployment")


async def test_a_request_for_all_or_nothing(kinds: ControlPlane, kube_namespace: str) -> None:
    await asyncio.to_thread(kinds.objects.apply, deployment(kube_namespace))
    pool = PoolPolicy(name="v5e", mode=PoolMode.PROVISIONING_REQUEST, nodes_per_unit=4)
    async with client(kinds) as kube:
        target = TargetPolicy(name="llama")
        room = RoomDriver(pool, pool.mode, target, kube_namespace, kube, gate())
        assert (await room.tick(1, 0, 0.0)).written == ("+loadstar-v5e-1",)
        assert (await room.tick(1, 0, 15.0)).written == ()
        template = await kube.get(documents.TEMPLATES, "loadstar-v5e-1", kube_namespace)
        assert template["template"]["spec"]["nodeSelector"]
        assert (await room.tick(0, 0, 30.0)).written == ("-loadstar-v5e-1",)


async def test_preflight_asks_the_real_server(kinds: ControlPlane, kube_namespace: str) -> None:
    policy = load_policy(
        f"models:\n- name: m\n  namespace: {kube_namespace}\n  variants:\n"
        "  - {pool: l4, target: {name: llama, hpa: llama}}\n"
        "pools:\n- {name: l4, mode: buffer}\n"
    )
    async with client(kinds) as kube:
        found = await in_cluster(policy, kube)
    assert {each.level for each in found} == {Level.OK}
    assert ladder.CAPACITY_BUFFER in found[-1].text
    nobody = await asyncio.to_thread(kinds.kubeconfig_for, "nobody", [])
    credentials = Credentials(str(nobody), environment={})
    async with KubeClient(credentials, SystemClock(), user_agent="test") as kube:
        refused = await in_cluster(policy, kube)
    short = [each.subject for each in refused if each.level is Level.SHORT]
    assert f"right to patch horizontalpodautoscalers.autoscaling in {kube_namespace}" in short
