"""The real ReplicaSet controller lets go the pods that were marked, by the component's rights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import yaml

from autoscaler.actuate.gate import Gate
from autoscaler.actuate.workload.driver import WorkloadDriver
from autoscaler.observe.cluster import Cluster, pod_view
from autoscaler.observe.replica_loads import PodLoad, Replica, replicas
from autoscaler.policy.model import Mode, TargetPolicy
from loadstar.clock import SystemClock
from loadstar.kube.client import KubeClient
from loadstar.kube.credentials import Credentials
from tests.controlplane.api import Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until
from tests.integration.autoscaler_process import ACCOUNT, ROOT, grant
from tests.loadstar.kube.kube_fixtures import kubeconfig_may_block

__all__ = ["kubeconfig_may_block"]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(120)]

COSTS = ROOT / "manifests/base/autoscaler/deletion-costs/rbac.yaml"
LABELS = {"app": "vllm"}
BUSY = (7.0, 0.0, 9.0, 1.0, 8.0)
"""Requests of each pod; the second and the fourth should go."""


@pytest.fixture
def rights(control_plane: ControlPlane, kube_namespace: str) -> Iterator[str]:
    """The autoscaler's account, without the component; a namespace."""
    wide = grant(control_plane, kube_namespace)
    yield kube_namespace
    for document in wide:
        control_plane.objects.delete(document)


@pytest.fixture
def with_costs(control_plane: ControlPlane, rights: str) -> Iterator[str]:
    role, binding = yaml.safe_load_all(COSTS.read_text())
    role["metadata"]["name"] += f"-{rights}"
    binding["metadata"]["namespace"] = binding["subjects"][0]["namespace"] = rights
    binding["roleRef"]["name"] = role["metadata"]["name"]
    control_plane.objects.apply([role, binding])
    yield rights
    control_plane.objects.delete(role)


def site(plane: ControlPlane, namespace: str) -> list[Object]:
    """A Deployment, whose pods are ready; the pods by name."""
    spec = {"containers": [{"name": "server", "image": "none.invalid/server"}]}
    plane.objects.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "vllm", "namespace": namespace},
            "spec": {
                "replicas": len(BUSY),
                "selector": {"matchLabels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": spec},
            },
        }
    )
    wait_until(lambda: len(pods(plane, namespace)) == len(BUSY), within_s=20, what="pods")
    for number, pod in enumerate(pods(plane, namespace)):
        plane.objects.patch_pod_status(pod, ip=f"127.0.0.{number + 2}")
    return pods(plane, namespace)


def pods(plane: ControlPlane, namespace: str) -> list[Object]:
    found = plane.objects.list("v1", "Pod", namespace, "app=vllm")
    staying = [each for each in found if "deletionTimestamp" not in each["metadata"]]
    return sorted(staying, key=lambda pod: str(pod["metadata"]["name"]))


async def shrink(plane: ControlPlane, namespace: str, there: list[Object], wanted: int) -> None:
    """One tick of the driver, as the autoscaler's account, which sees ``there``."""
    clock = SystemClock()
    now_s = clock.wall()
    heard = {
        (namespace, pod["metadata"]["uid"]): PodLoad(now_s, requests)
        for pod, requests in zip(there, BUSY, strict=True)
    }
    cluster = Cluster(pods=tuple(pod_view(each) for each in there))

    def seen() -> tuple[Replica, ...]:
        return replicas(
            cluster, "Deployment", "vllm", namespace, heard, now_s=now_s, stale_after_s=45.0
        )

    kubeconfig = await asyncio.to_thread(plane.service_account_kubeconfig, namespace, ACCOUNT)
    credentials = Credentials(str(kubeconfig), environment={})
    gate = Gate(mode=lambda: Mode.ACTIVE, leads=lambda _seconds: True)
    async with KubeClient(credentials, clock, user_agent="test") as kube:
        target = TargetPolicy(kind="Deployment", name="vllm")
        driver = WorkloadDriver(target, namespace, kube, gate, override_s=900.0, replicas=seen)
        await driver.tick(wanted, clock.now())


async def test_the_least_busy_go(control_plane: ControlPlane, with_costs: str) -> None:
    there = await asyncio.to_thread(site, control_plane, with_costs)
    names = [pod["metadata"]["name"] for pod in there]
    await shrink(control_plane, with_costs, there, wanted=3)

    def left() -> list[str]:
        return [pod["metadata"]["name"] for pod in pods(control_plane, with_costs)]

    await asyncio.to_thread(wait_until, lambda: len(left()) == 3, within_s=20, what="two go")
    assert await asyncio.to_thread(left) == [names[0], names[2], names[4]]


async def test_without_the_component_it_shrinks_and_says_what_it_lacks(
    control_plane: ControlPlane, rights: str, caplog: pytest.LogCaptureFixture
) -> None:
    there = await asyncio.to_thread(site, control_plane, rights)
    await shrink(control_plane, rights, there, wanted=3)
    await asyncio.to_thread(
        wait_until, lambda: len(pods(control_plane, rights)) == 3, within_s=20, what="two go"
    )
    (said,) = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert said.startswith("pods are not marked, any of them may go first: ")
    assert 'cannot patch resource "pods"' in said
