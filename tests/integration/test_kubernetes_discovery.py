"""Discovery against a real API server: it restarts, freezes, goes away, and forgets."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from gateway.config.command_line import parse
from gateway.datalayer.kubernetes.discovery import KubernetesDiscovery
from gateway.datalayer.kubernetes.wanted import wanted
from gateway.datalayer.store import Datastore
from loadstar.clock import SystemClock
from loadstar.kube.credentials import Credentials
from tests.controlplane.api import Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.objects import Objects
from tests.loadstar.kube.kube_fixtures import kubeconfig_may_block

__all__ = ["kubeconfig_may_block"]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(180)]

CRDS = Path(__file__).parents[2] / "manifests" / "base" / "crds"
SOON_SECONDS = 20.0
LEAST_RIGHTS = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {
        "apiGroups": ["inference.networking.k8s.io"],
        "resources": ["inferencepools"],
        "verbs": ["list", "watch"],
    },
    {
        "apiGroups": ["inference.networking.x-k8s.io", "llm-d.ai"],
        "resources": ["inferenceobjectives", "inferencemodelrewrites"],
        "verbs": ["list", "watch"],
    },
]
TEXTS = {name: {"type": "string"} for name in ("group", "kind", "name")}
T = TypeVar("T")


@pytest.fixture
def plane(control_plane: ControlPlane, kube_namespace: str) -> Iterator[ControlPlane]:
    control_plane.objects.apply(CRDS)
    control_plane.objects.apply(pool(kube_namespace))
    yield control_plane
    control_plane.check()


def pool(namespace: str, app: str = "vllm", ports: tuple[int, ...] = (8000,)) -> Object:
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": "llama", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "targetPorts": [{"number": port} for port in ports],
        },
    }


@dataclass
class Lab:
    """A store that follows a pool, and the administrator who changes that."""

    plane: ControlPlane
    namespace: str
    store: Datastore
    discovery: KubernetesDiscovery

    @property
    def objects(self) -> Objects:
        return self.plane.objects

    @property
    def names(self) -> list[str]:
        return [e.name.removesuffix("-rank-0") for e in self.store.state.endpoints]

    async def do(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return await asyncio.to_thread(call, *args, **kwargs)

    async def add(self, *numbers: int) -> None:
        for number in numbers:
            await self.do(
                self.objects.ready_pod,
                f"m-{number:02}",
                ip=f"10.9.0.{number}",
                namespace=self.namespace,
                labels={"app": "vllm"},
                ports=[8000],
            )

    async def remove(self, *numbers: int) -> None:
        for number in numbers:
            found = await self.do(self.objects.get, "v1", "Pod", f"m-{number:02}", self.namespace)
            assert found is not None
            await self.do(self.objects.delete, found, grace_s=0)

    async def until(self, holds: Callable[[], bool], seconds: float = SOON_SECONDS) -> float:
        """Wait; how long it took, in seconds."""
        clock = SystemClock()
        began = clock.now()
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - another process makes it true
                await asyncio.sleep(0.01)
        return clock.now() - began

    async def until_pods(self, *numbers: int) -> float:
        wanted_names = [f"m-{number:02}" for number in numbers]
        return await self.until(lambda: self.store.synced and self.names == wanted_names)


@asynccontextmanager
async def following(
    plane: ControlPlane, namespace: str, *argv: str, config: Path | None = None
) -> AsyncIterator[Lab]:
    store = Datastore()
    flags, _notes = parse(argv or ("--pool-name=llama", f"--pool-namespace={namespace}"))
    discovery = KubernetesDiscovery(
        Credentials(str(config or plane.kubeconfig), environment={}),
        lambda own: wanted(flags, {"NAMESPACE": namespace}, own),
        clock=SystemClock(),
        rng=random.Random(1),
    )
    await discovery.load(store)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(discovery.run(store))
        yield Lab(plane, namespace, store, discovery)
        running.cancel()


async def test_pods_scale_up_and_down(plane: ControlPlane, kube_namespace: str) -> None:
    async with following(plane, kube_namespace) as lab:
        await lab.add(1, 2)
        await lab.until_pods(1, 2)
        await lab.add(*range(3, 21))
        assert await lab.until_pods(*range(1, 21)) < 2
        await lab.remove(*range(4, 21))
        assert await lab.until_pods(1, 2, 3) < 2


async def test_a_pod_that_is_unready_or_terminating_is_not_asked(
    plane: ControlPlane, kube_namespace: str
) -> None:
    async with following(plane, kube_namespace) as lab:
        await lab.add(1)
        pod = await lab.do(
            lab.objects.ready_pod,
            "m-02",
            ip="10.9.0.2",
            namespace=kube_namespace,
            labels={"app": "vllm"},
            finalizers=["example.com/hold"],
        )
        await lab.until_pods(1, 2)
        await lab.do(lab.objects.patch_pod_status, pod, ready=False)
        await lab.until_pods(1)
        await lab.do(lab.objects.patch_pod_status, pod, ready=True)
        await lab.until_pods(1, 2)
        await lab.do(lab.objects.delete, pod)
        await lab.until_pods(1)
        await lab.do(lab.objects.patch, pod, {"metadata": {"finalizers": None}})


async def test_a_pool_is_deleted_made_again_and_changed(
    plane: ControlPlane, kube_namespace: str
) -> None:
    async with following(plane, kube_namespace) as lab:
        await lab.add(1)
        await lab.until_pods(1)
        await lab.do(lab.objects.delete, pool(kube_namespace), wait=True)
        await lab.until(lambda: bool(lab.store.missing))
        assert lab.store.missing == f"InferencePool {kube_namespace}/llama does not exist"
        assert lab.names == []
        await lab.do(lab.objects.apply, pool(kube_namespace))
        await lab.until_pods(1)
        assert lab.store.missing == ""
        await lab.do(lab.objects.apply, pool(kube_namespace, ports=(9000, 9001)))
        await lab.until(
            lambda: (
                [e.destination for e in lab.store.state.endpoints]
                == ["10.9.0.1:9000", "10.9.0.1:9001"]
            )
        )
        await lab.do(lab.objects.apply, pool(kube_namespace, app="other"))
        await lab.until(lambda: lab.store.state.endpoints == ())


async def test_an_api_server_that_crashes_loses_nothing(
    plane: ControlPlane, kube_namespace: str
) -> None:
    async with following(plane, kube_namespace) as lab:
        await lab.add(1, 2)
        await lab.until_pods(1, 2)
        epoch = lab.store.state.epoch
        await lab.do(plane.restart_apiserver)
        await lab.until(lambda: all(watch.connected for watch in lab.discovery.watches()))
        assert lab.names == ["m-01", "m-02"]
        assert lab.store.state.epoch == epoch  # nobody was taken out and put back
        await lab.add(3)
        await lab.until_pods(1, 2, 3)


async def test_while_the_api_server_is_away_the_last_state_stays(
    plane: ControlPlane, kube_namespace: str
) -> None:
    async with following(plane, kube_namespace) as lab:
        await lab.add(1, 2)
        await lab.until_pods(1, 2)
        away = plane.apiserver_away()
        await lab.do(away.__enter__)
        try:
            await lab.until(lambda: not any(watch.connected for watch in lab.discovery.watches()))
            await asyncio.sleep(8)
            assert lab.names == ["m-01", "m-02"]
            assert lab.store.missing == ""
        finally:
            await lab.do(away.__exit__, None, None, None)
        await lab.remove(2)
        await lab.until_pods(1)


async def test_an_api_server_that_answers_nobody_is_waited_out(
    plane: ControlPlane, kube_namespace: str
) -> None:
    async with following(plane, kube_namespace) as lab:
        await lab.add(1)
        await lab.until_pods(1)
        frozen = plane.apiserver_frozen()
        await lab.do(frozen.__enter__)
        try:
            await asyncio.sleep(3)
            assert lab.names == ["m-01"]
        finally:
            await lab.do(frozen.__exit__, None, None, None)
        await lab.add(2)
        await lab.until_pods(1, 2)


async def test_the_least_rights_are_enough(plane: ControlPlane, kube_namespace: str) -> None:
    """As its service account, with list and watch of exactly what it follows."""
    rbac = "rbac.authorization.k8s.io/v1"
    meta = {"name": "picker", "namespace": kube_namespace}
    config = await asyncio.to_thread(plane.service_account_kubeconfig, kube_namespace, "picker")
    account = {"kind": "ServiceAccount", "name": "picker", "namespace": kube_namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "picker"}
    await asyncio.to_thread(
        plane.objects.apply,
        [
            {"apiVersion": rbac, "kind": "Role", "metadata": meta, "rules": LEAST_RIGHTS},
            {
                "apiVersion": rbac,
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": role,
                "subjects": [account],
            },
        ],
    )
    async with following(plane, kube_namespace, config=config) as lab:
        await lab.add(1)
        await lab.until_pods(1)
        ref = {"name": "llama"}
        await lab.do(
            lab.objects.apply,
            {
                "apiVersion": "llm-d.ai/v1alpha2",
                "kind": "InferenceObjective",
                "metadata": {"name": "batch", "namespace": kube_namespace},
                "spec": {"poolRef": ref, "priority": -10},
            },
        )
        await lab.until(lambda: lab.store.objectives == {"batch": -10})


def with_v1_objectives() -> Object:
    """The CRD as it is where v1 is served beside v1alpha2, and nothing converts between them."""
    made: Object = yaml.safe_load((CRDS / "llm-d.ai_inferenceobjectives.yaml").read_text())
    (older,) = made["spec"]["versions"]
    newer = copy.deepcopy(older)
    newer.update(name="v1", storage=False, additionalPrinterColumns=[])
    newer["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
        "type": "object",
        "properties": {
            "priority": {"type": "integer"},
            "poolRefs": {"type": "array", "items": {"type": "object", "properties": TEXTS}},
            "poolSelector": {
                "type": "object",
                "properties": {
                    "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}
                },
            },
        },
    }
    # Else what one version writes is lost before it is stored.
    for version in (older, newer):
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["x-kubernetes-preserve-unknown-fields"] = True
        spec.pop("required", None)
    made["spec"]["versions"] = [newer, older]
    return made


async def test_objectives_of_v1_name_pools_or_their_labels(
    plane: ControlPlane, kube_namespace: str
) -> None:
    objects = plane.objects
    await asyncio.to_thread(lambda: objects.apply(with_v1_objectives()))
    try:
        async with following(plane, kube_namespace) as lab:
            await lab.add(1)
            await lab.until_pods(1)

            async def tell(name: str, version: str, **spec: Any) -> None:
                document = {
                    "apiVersion": f"llm-d.ai/{version}",
                    "kind": "InferenceObjective",
                    "metadata": {"name": name, "namespace": kube_namespace},
                    "spec": spec,
                }
                await lab.do(objects.apply, document)

            await tell("older", "v1alpha2", poolRef={"name": "llama"}, priority=1)
            await tell("listed", "v1", poolRefs=[{"name": "a"}, {"name": "llama"}], priority=2)
            await tell("labelled", "v1", poolSelector={"matchLabels": {"tier": "g"}}, priority=3)
            await lab.until(lambda: lab.store.objectives == {"older": 1, "listed": 2})
            found = await lab.do(
                objects.get,
                "inference.networking.k8s.io/v1",
                "InferencePool",
                "llama",
                kube_namespace,
            )
            assert found is not None
            await lab.do(objects.patch, found, {"metadata": {"labels": {"tier": "g"}}})
            await lab.until(
                lambda: lab.store.objectives == {"older": 1, "listed": 2, "labelled": 3}
            )
    finally:
        await asyncio.to_thread(objects.apply, CRDS)


async def test_rewrites_go_by_age(plane: ControlPlane, kube_namespace: str) -> None:
    async with following(plane, kube_namespace) as lab:
        for name in ("z-first", "a-second"):
            rules = [{"targets": [{"modelRewrite": name}]}]
            await lab.do(
                lab.objects.apply,
                {
                    "apiVersion": "llm-d.ai/v1alpha2",
                    "kind": "InferenceModelRewrite",
                    "metadata": {"name": name, "namespace": kube_namespace},
                    "spec": {"poolRef": {"name": "llama"}, "rules": rules},
                },
            )
            await asyncio.sleep(1.1)  # creation times have whole seconds
        await lab.until(lambda: [r.name for r in lab.store.rewrites] == ["z-first", "a-second"])


async def test_pods_by_selector_without_a_pool(plane: ControlPlane, kube_namespace: str) -> None:
    argv = ("--endpoint-selector=app in (vllm),!canary", "--endpoint-target-ports=8000")
    async with following(plane, kube_namespace, *argv) as lab:
        await lab.add(1, 2)
        await lab.until_pods(1, 2)
        pod = await lab.do(lab.objects.get, "v1", "Pod", "m-02", kube_namespace)
        assert pod is not None
        await lab.do(lab.objects.patch, pod, {"metadata": {"labels": {"canary": "yes"}}})
        await lab.until_pods(1)
