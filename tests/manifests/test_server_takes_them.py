"""A real API server judges every rendered tree, strictly, and makes its pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.api import ApiError
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.objects import Objects
from tests.manifests.rendered import (
    MANIFESTS,
    TREES,
    WHOLE,
    Object,
    kustomized,
    objects,
    one,
    tree,
)
from tests.manifests.tools import GATEWAY_API, folder

pytestmark = pytest.mark.controlplane

GKE_CRDS = Path(__file__).with_name("gke_crds.yaml")
SERVICES = sorted(
    path.parent.name
    for path in (MANIFESTS / "base").glob("*/kustomization.yaml")
    if path.parent.name in ("metrics_adapter", "autoscaler")
)
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Iterator[Objects]:
    """An administrator of a server that knows every kind that the manifests use."""
    admin = control_plane.objects
    for crds in (folder(GATEWAY_API), GKE_CRDS, MANIFESTS / "base/crds"):
        for document in _crds(crds):
            admin.apply(document)
    yield admin
    for document in _crds(GKE_CRDS):
        admin.delete(document)


def _crds(path: Path) -> list[Object]:
    files = sorted(path.glob("*_*.yaml")) if path.is_dir() else [path]
    return [each for file in files for each in objects(file.read_text())]


@pytest.fixture
def in_namespace(server: Objects, kube_namespace: str) -> str:
    """A namespace that takes only pods without any rights."""
    server.patch(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kube_namespace}},
        {"metadata": {"labels": RESTRICTED}},
    )
    return kube_namespace


def moved(found: list[Object], namespace: str) -> list[Object]:
    """The objects, in a namespace of the test's own."""
    kept = [each for each in found if each["kind"] != "Namespace"]
    for each in kept:
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = namespace
        for subject in each.get("subjects", ()):
            subject["namespace"] = namespace
    return kept


def pod_of(workload: Object, namespace: str) -> Object:
    """What its controller would make, but for the account, which is not there."""
    template = workload["spec"]["template"]
    spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    for claim in workload["spec"].get("volumeClaimTemplates", ()):  # a volume, by then
        volume = {"name": claim["metadata"]["name"], "emptyDir": {}}
        spec["volumes"] = [*spec.get("volumes", ()), volume]
    metadata = {"name": workload["metadata"]["name"], "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, **template["metadata"]},
        "spec": spec,
    }


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_taken(name: str, server: Objects, in_namespace: str, tmp_path: Path) -> None:
    found = moved(objects(tree(name, tmp_path)), in_namespace)
    taken = server.dry_run(found)
    assert [(each["kind"], each["metadata"]["name"]) for each in taken] == [
        (each["kind"], each["metadata"]["name"]) for each in found
    ]


@pytest.mark.parametrize("name", TREES)
def test_its_pods_are_taken_where_pods_may_do_nothing(
    name: str, server: Objects, in_namespace: str, tmp_path: Path
) -> None:
    """The Deployment alone says nothing: admission of pods happens at the pods."""
    found = objects(tree(name, tmp_path))
    workloads = [each for each in found if each["kind"] in ("Deployment", "StatefulSet")]
    assert len(workloads) == (3 if name in WHOLE else 1)
    for workload in workloads:
        pod = pod_of(workload, in_namespace)
        (taken,) = server.dry_run(pod)
        assert taken["metadata"]["name"] == workload["metadata"]["name"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_its_own_is_taken(name: str, server: Objects, in_namespace: str) -> None:
    found = moved(objects(kustomized(f"base/{name}")), in_namespace)
    assert len(server.dry_run(found)) == len(found)
    (workload,) = (each for each in found if each["kind"] in ("Deployment", "StatefulSet"))
    assert server.dry_run(pod_of(workload, in_namespace))


def test_a_server_that_judges_sees_a_mistake(server: Objects, in_namespace: str) -> None:
    """Or the tests above would prove nothing."""
    found = moved(objects(kustomized("overlays/gke-standard")), in_namespace)
    one(found, "HealthCheckPolicy")["spec"]["default"]["config"]["type"] = "GOPHER"
    with pytest.raises(ApiError, match="Unsupported value"):
        server.dry_run(found)
    gateway = one(found, "Deployment", "loadstar-gateway")
    pod = gateway["spec"]["template"]["spec"]
    pod["securityContxt"] = pod.pop("securityContext")
    with pytest.raises(ApiError, match="securityContxt"):
        server.dry_run([gateway])


def test_the_cluster_parts_are_taken(server: Objects) -> None:
    assert server.dry_run(kustomized("base/admission"))
    assert server.dry_run(kustomized("base/apiservices"))
    assert server.dry_run(_crds(MANIFESTS / "base/crds"))
