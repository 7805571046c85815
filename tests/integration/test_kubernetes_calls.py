"""The client's calls, events and leases, as a real API server takes them."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadstar.clock import SystemClock
from loadstar.kube import errors
from loadstar.kube.client import PAGE_OBJECTS, Document, KubeClient
from loadstar.kube.credentials import Credentials
from loadstar.kube.events import EventRecorder
from loadstar.kube.leadership import Fence, Terms
from loadstar.kube.lease import Election
from loadstar.kube.objects import ref
from loadstar.kube.resources import CONFIG_MAPS, DEPLOYMENTS, EVENTS, LEASES, NAMESPACES, PODS
from tests.controlplane.cluster import ControlPlane
from tests.loadstar.kube.kube_fixtures import kubeconfig_may_block

__all__ = ["kubeconfig_may_block"]

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(120)]


@asynccontextmanager
async def client(config: Path) -> AsyncIterator[KubeClient]:
    credentials = Credentials(str(config), environment={})
    async with KubeClient(credentials, SystemClock(), user_agent="loadstar-tests") as kube:
        yield kube


def config_map(namespace: str, name: str = "c", **data: str) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


async def test_objects_are_made_changed_and_deleted(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    async with client(control_plane.kubeconfig) as kube:
        made = await kube.create(CONFIG_MAPS, config_map(kube_namespace, a="1"))
        with pytest.raises(errors.AlreadyExists):
            await kube.create(CONFIG_MAPS, config_map(kube_namespace))
        await kube.patch(CONFIG_MAPS, "c", kube_namespace, {"data": {"b": "2"}})
        with pytest.raises(errors.Conflict):
            await kube.replace(CONFIG_MAPS, made)
        read = await kube.get(CONFIG_MAPS, "c", kube_namespace)
        assert read["data"] == {"a": "1", "b": "2"}
        with pytest.raises(errors.Invalid):
            await kube.create(CONFIG_MAPS, config_map(kube_namespace, "Not A Name"))
        with pytest.raises(errors.Conflict):
            await kube.delete(CONFIG_MAPS, "c", kube_namespace, uid="another")
        await kube.delete(CONFIG_MAPS, "c", kube_namespace, uid=read["metadata"]["uid"])
        with pytest.raises(errors.NotFound):
            await kube.get(CONFIG_MAPS, "c", kube_namespace)
        assert (await kube.get(NAMESPACES, kube_namespace))["status"]["phase"] == "Active"
        assert (await kube.raw("/version"))["major"] == "1"


async def test_server_side_apply_keeps_others_off(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    async with client(control_plane.kubeconfig) as kube:
        await kube.apply(CONFIG_MAPS, config_map(kube_namespace, a="1"), field_manager="one")
        other = config_map(kube_namespace, a="2")
        with pytest.raises(errors.Conflict, match="one"):
            await kube.apply(CONFIG_MAPS, other, field_manager="other")
        tried = await kube.apply(
            CONFIG_MAPS, other, field_manager="other", force=True, dry_run=True
        )
        assert tried["data"] == {"a": "2"}
        assert (await kube.get(CONFIG_MAPS, "c", kube_namespace))["data"] == {"a": "1"}
        await kube.apply(CONFIG_MAPS, other, field_manager="other", force=True)
        assert (await kube.get(CONFIG_MAPS, "c", kube_namespace))["data"] == {"a": "2"}


async def test_the_scale_of_a_deployment(control_plane: ControlPlane, kube_namespace: str) -> None:
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": kube_namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "image": "none.invalid/c"}]},
            },
        },
    }
    async with client(control_plane.kubeconfig) as kube:
        await kube.create(DEPLOYMENTS, document)
        await kube.patch(
            DEPLOYMENTS, "d", kube_namespace, {"spec": {"replicas": 2}}, subresource="scale"
        )
        scale = await kube.get(DEPLOYMENTS, "d", kube_namespace, subresource="scale")
        assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})


async def test_lists_come_in_pages_of_one_moment(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    count = PAGE_OBJECTS + 5
    async with client(control_plane.kubeconfig) as kube:
        for index in range(count):
            await kube.create(CONFIG_MAPS, config_map(kube_namespace, f"c-{index:03}"))
        pages = [page async for page in kube.pages(CONFIG_MAPS, kube_namespace, labels="!x")]
        names = [item["metadata"]["name"] for page in pages for item in page.items]
        assert [name for name in names if name.startswith("c-")] == [
            f"c-{index:03}" for index in range(count)
        ]
        assert len({page.resource_version for page in pages}) == 1


async def test_who_may_do_what(control_plane: ControlPlane, kube_namespace: str) -> None:
    token = await asyncio.to_thread(control_plane.service_account_token, kube_namespace, "bob")
    user = f"system:serviceaccount:{kube_namespace}:bob"
    attributes = {"namespace": kube_namespace, "verb": "list", "resource": "pods"}
    async with client(control_plane.kubeconfig) as kube:
        review = await kube.token_review(token)
        assert (review["authenticated"], review["user"]["username"]) == (True, user)
        assert not (await kube.token_review("nonsense")).get("authenticated", False)
        spec = {"user": user, "resourceAttributes": attributes}
        assert (await kube.subject_access_review(spec))["allowed"] is False
        spec["user"], spec["groups"] = "admin", ["system:masters"]
        assert (await kube.subject_access_review(spec))["allowed"] is True


async def test_a_pod_calls_by_its_account(
    control_plane: ControlPlane, kube_namespace: str, tmp_path: Path
) -> None:
    """The files that kubelet mounts; the token is replaced under way, as kubelet does."""
    first = await asyncio.to_thread(control_plane.service_account_token, kube_namespace, "pod")

    def mount(token: str) -> None:
        (tmp_path / "token").write_text(token + "\n")
        (tmp_path / "ca.crt").write_bytes(control_plane.client_ca.cert.read_bytes())
        (tmp_path / "namespace").write_text(kube_namespace)

    await asyncio.to_thread(mount, first)
    server = urlsplit(control_plane.url)
    environment = {
        "KUBERNETES_SERVICE_HOST": str(server.hostname),
        "KUBERNETES_SERVICE_PORT": str(server.port),
    }
    credentials = Credentials(environment=environment, account=tmp_path)
    async with KubeClient(credentials, SystemClock(), user_agent="loadstar-tests") as kube:
        assert (await kube.connection()).namespace == kube_namespace
        with pytest.raises(errors.Forbidden, match=f"system:serviceaccount:{kube_namespace}:pod"):
            await kube.list(PODS, kube_namespace)
        await asyncio.to_thread(mount, "a token that is no good")
        with pytest.raises(errors.Forbidden):  # the good one is still held
            await kube.list(PODS, kube_namespace)
    async with KubeClient(credentials, SystemClock(), user_agent="loadstar-tests") as kube:
        with pytest.raises(errors.Unauthorized):
            await kube.list(PODS, kube_namespace)
        await asyncio.to_thread(mount, first)
        with pytest.raises(errors.Forbidden):
            await kube.list(PODS, kube_namespace)


async def test_events_stand_next_to_their_object(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    async with client(control_plane.kubeconfig) as kube:
        made = await kube.create(CONFIG_MAPS, config_map(kube_namespace))
        recorder = EventRecorder(kube, SystemClock(), component="loadstar-gateway")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(recorder.run())
            for _ in range(3):
                recorder.record(ref(made, CONFIG_MAPS), "Warning", "BadConfig", "no such plugin")
            async with asyncio.timeout(10):
                while True:
                    found = await kube.list(EVENTS, kube_namespace, fields="involvedObject.name=c")
                    if found and found[0]["count"] == 3:
                        break
                    await asyncio.sleep(0.05)
            running.cancel()
        (event,) = found
        assert (event["type"], event["reason"]) == ("Warning", "BadConfig")
        assert event["involvedObject"]["uid"] == made["metadata"]["uid"]
        assert recorder.dropped == 0


async def test_of_two_candidates_one_leads_and_hands_over(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    fences: list[Fence] = []

    async def lead(fence: Fence) -> None:
        assert not any(other.held for other in fences)
        fences.append(fence)
        await asyncio.Event().wait()

    async with client(control_plane.kubeconfig) as kube, asyncio.TaskGroup() as tasks:

        def stand(identity: str) -> asyncio.Task[None]:
            election = Election(
                kube,
                namespace=kube_namespace,
                name="loadstar",
                identity=identity,
                clock=SystemClock(),
                rng=random.Random(identity),
                terms=Terms(lease=2.0, renew_deadline=1.5, retry=0.3),
            )
            return tasks.create_task(election.run(lead))

        standing = {name: stand(name) for name in ("a", "b")}

        async def until_leaders(count: int) -> None:
            async with asyncio.timeout(10):
                while len(fences) < count:  # noqa: ASYNC110 - elections announce nothing
                    await asyncio.sleep(0.02)

        await until_leaders(1)
        await asyncio.sleep(2.5)  # longer than a lease: it was renewed
        assert len(fences) == 1
        assert fences[0].held
        lease = await kube.get(LEASES, "loadstar", kube_namespace)
        assert lease["spec"]["holderIdentity"] == fences[0].identity
        standing[fences[0].identity].cancel()
        await until_leaders(2)
        assert fences[1].token > fences[0].token
        for task in standing.values():
            task.cancel()


def test_the_environment_of_the_tests_is_not_a_pod() -> None:
    """Else the tests above would call somebody's cluster."""
    assert "KUBERNETES_SERVICE_HOST" not in os.environ
