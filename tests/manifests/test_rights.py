"""The gateway runs against a real API server with the rights of its manifests, and no others."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.objects import Objects
from tests.controlplane.processes import wait_until
from tests.manifests.gateway_process import Started, started
from tests.manifests.rendered import (
    MANIFESTS,
    Object,
    containers,
    kustomized,
    objects,
    one,
    part,
)
from tests.manifests.test_server_takes_them import moved

pytestmark = [pytest.mark.controlplane, pytest.mark.slow, pytest.mark.timeout(180)]

log = logging.getLogger(__name__)

NAME = "loadstar-gateway"
APPLIED = ("ServiceAccount", "Role", "RoleBinding", "ConfigMap", "InferencePool")
IN_FORCE_SECONDS = 2.0
REFUSED = 'loadstar_gateway_reload_refused{file="config"}'
TAKEN = 'loadstar_gateway_reloads_total{file="config",outcome="taken"}'
OTHER = "plugins: [{type: queue-scorer}]\n"
BAD = "plugins: [{type: queue-scorrer}]\n"


@dataclass(slots=True)
class Site:
    """A gateway that runs, and the administrator beside it."""

    admin: Objects
    namespace: str
    gateway: Started
    processes: int

    def config_map(self) -> Object:
        found = self.admin.get("v1", "ConfigMap", NAME, self.namespace)
        assert found is not None
        return found

    def write(self, text: str) -> None:
        self.admin.patch(self.config_map(), {"data": {"picker.yaml": text}})

    def configuration(self) -> dict[str, Any]:
        page: dict[str, Any] = self.gateway.page("/configz")
        return page

    def events(self) -> list[Object]:
        found = self.admin.list("v1", "Event", self.namespace)
        return [each for each in found if each["involvedObject"]["name"] == NAME]


def installed(overlay: str, admin: Objects, namespace: str) -> list[str]:
    """Apply the overlay's identity and configuration; the arguments of its gateway."""
    for document in MANIFESTS.glob("base/crds/*_*.yaml"):
        admin.apply(document)
    found = moved(objects(kustomized(f"overlays/{overlay}")), namespace)
    pool = [each for each in found if each["kind"] == "InferencePool"]
    found = [*part(found, "gateway"), *pool]
    admin.apply([each for each in found if each["kind"] in APPLIED])
    pod = one(found, "Deployment")["spec"]["template"]["spec"]
    arguments: list[str] = containers(pod)["gateway"]["args"][1:]
    return [word.replace("$(POD_NAMESPACE)", namespace) for word in arguments]


@pytest.fixture(params=["kind", "gke-standard"])
def site(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    kube_namespace: str,
    tmp_path: Path,
) -> Iterator[Site]:
    """One process by labels, and several behind an InferencePool: as the overlays say."""
    admin = control_plane.objects
    arguments = installed(request.param, admin, kube_namespace)
    for index in range(3):
        admin.ready_pod(
            f"vllm-{index}",
            ip=f"127.0.0.{index + 2}",
            namespace=kube_namespace,
            labels={"app": "vllm"},
        )
    kubeconfig = control_plane.service_account_kubeconfig(kube_namespace, NAME)
    with started(arguments, kubeconfig, tmp_path) as gateway:
        (workers,) = (int(word[10:]) for word in arguments if word.startswith("--workers="))
        processes = 1 if workers == 1 else workers + 1  # those that pick, and their collector
        yield Site(admin, kube_namespace, gateway, processes)


def test_with_these_rights_it_does_all_that_it_does(site: Site) -> None:
    def destinations() -> set[str]:
        return {each["destination"] for each in site.gateway.page("/debug/endpoints")["endpoints"]}

    wait_until(
        lambda: destinations() == {f"127.0.0.{n}:8000" for n in (2, 3, 4)},
        within_s=10,
        what="every pod is an endpoint",
    )
    first = site.configuration()
    assert first["source"] == f"ConfigMap {site.namespace}/{NAME}/picker.yaml"
    assert first["resourceVersion"] == site.config_map()["metadata"]["resourceVersion"]
    assert first["lastRefusal"] is None

    began = time.perf_counter()
    site.write(OTHER)
    wait_until(
        lambda: site.gateway.metric(TAKEN) == site.processes,
        within_s=10,
        what="the change is in force in every process",
    )
    seconds = time.perf_counter() - began
    log.info("in force in %d processes after %.3f s", site.processes, seconds)
    assert seconds < IN_FORCE_SECONDS
    assert site.configuration()["config"] == OTHER

    site.write(BAD)
    wait_until(lambda: bool(site.events()), within_s=10, what="an Event says what is wrong")
    (event,) = site.events()
    page = site.configuration()
    assert (event["type"], event["reason"]) == ("Warning", "ConfigurationRefused")
    assert event["message"] == (
        f"not taken, {page['sha256']} stays in force: "
        'plugins[0].type: unknown plugin type "queue-scorrer", did you mean queue-scorer?'
    )
    assert page["config"] == OTHER
    assert page["lastRefusal"]["stands"] is True
    assert site.gateway.metric(REFUSED) == 1

    site.write(OTHER)
    wait_until(lambda: site.gateway.metric(REFUSED) == 0, within_s=10, what="the refusal is over")
    wait_until(lambda: len(site.events()) == 2, within_s=10, what="that is said too")
    assert site.gateway.said("orbidden") == []


@pytest.mark.parametrize(
    ("kept", "asked"),
    [
        pytest.param(
            ("configmaps", "inferencepools"),
            (
                'cannot list resource "pods" in',
                'cannot list resource "inferenceobjectives" in API group "llm-d.ai"',
                'cannot list resource "inferenceobjectives" in API group "inference.networking.x',
                'cannot list resource "inferencemodelrewrites" in API group "llm-d.ai"',
                'cannot list resource "inferencemodelrewrites" in API group "inference.networking.',
                'cannot create resource "events" in',
            ),
            id="without the rest it asks for the rest",
        ),
        pytest.param(
            (),
            ('cannot get resource "configmaps" in',),
            id="without any it waits for its configuration",
        ),
    ],
)
def test_there_is_no_right_that_it_does_not_use(
    kept: tuple[str, ...],
    asked: tuple[str, ...],
    control_plane: ControlPlane,
    kube_namespace: str,
    tmp_path: Path,
) -> None:
    admin = control_plane.objects
    arguments = installed("gke-standard", admin, kube_namespace)
    role = admin.get("rbac.authorization.k8s.io/v1", "Role", NAME, kube_namespace)
    assert role is not None
    rules = [rule for rule in role["rules"] if set(rule["resources"]) <= set(kept)]
    admin.patch(role, {"rules": rules})
    kubeconfig = control_plane.service_account_kubeconfig(kube_namespace, NAME)
    with started(arguments, kubeconfig, tmp_path, serving=bool(kept)) as gateway:
        if kept:
            site = Site(admin, kube_namespace, gateway, 0)
            site.write(BAD)
        for words in asked:
            wait_until(
                lambda words=words: bool(gateway.said(words)),  # type: ignore[misc]
                within_s=15,
                what=f"it says that it {words}",
            )


@pytest.mark.parametrize("overlay", ["kind", "gke-standard"])
def test_it_may_do_nothing_else(
    overlay: str, control_plane: ControlPlane, kube_namespace: str
) -> None:
    admin = control_plane.objects
    installed(overlay, admin, kube_namespace)
    pools = overlay != "kind"

    def may(verb: str, resource: str, *, group: str = "", name: str = "", where: str = "") -> bool:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{kube_namespace}:{NAME}",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": {
                    "verb": verb,
                    "resource": resource,
                    "group": group,
                    "name": name,
                    "namespace": where or kube_namespace,
                },
            },
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = admin.api.request("POST", path, review)
        return bool(answer["status"]["allowed"])

    pool_group, alpha = "inference.networking.k8s.io", "inference.networking.x-k8s.io"
    assert {
        "watch pods": may("watch", "pods"),
        "watch the pool": may("watch", "inferencepools", group=pool_group, name="vllm"),
        "watch objectives": may("watch", "inferenceobjectives", group=alpha),
        "watch its configuration": may("watch", "configmaps", name=NAME),
        "write events": may("create", "events"),
    } == {
        "watch pods": True,
        "watch the pool": pools,
        "watch objectives": True,
        "watch its configuration": True,
        "write events": True,
    }
    assert not any(
        (
            may("get", "secrets"),
            may("list", "configmaps"),
            may("get", "configmaps", name="another"),
            may("update", "configmaps", name=NAME),
            may("patch", "configmaps", name=NAME),
            may("list", "pods", where="kube-system"),
            may("delete", "pods"),
            may("create", "pods"),
            may("list", "inferencepools", group=pool_group),
            may("patch", "inferencepools", group=pool_group, name="vllm"),
            may("create", "tokenreviews", group="authentication.k8s.io"),
        )
    )
