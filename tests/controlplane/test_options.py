"""A control plane of one's own, with more controllers and a scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controlplane.api import Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.commands import DEFAULT_CONTROLLERS, Options
from tests.controlplane.processes import wait_until

pytestmark = pytest.mark.controlplane

OPTIONS = Options(
    controllers=(*DEFAULT_CONTROLLERS, "garbage-collector-controller", "endpointslice-controller"),
    scheduler=True,
)
LABELS = {"app": "m"}
SERVICE = "kubernetes.io/service-name=m"
POD_SPEC: Object = {"containers": [{"name": "m", "image": "none.invalid/m"}]}


def test_pods_are_scheduled_listed_as_endpoints_and_collected_with_their_owner(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """``control_plane`` is not used but for its skip, where none can be built."""
    with ControlPlane.started(tmp_path, OPTIONS) as mine:
        objects = mine.objects
        objects.node("node-0", cpu="8", memory="8Gi")
        service: Object = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "m"},
            "spec": {"selector": LABELS, "ports": [{"port": 80}]},
        }
        deployment: Object = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "m"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": POD_SPEC},
            },
        }
        objects.apply([service, deployment])

        def scheduled() -> list[Object]:
            listed = objects.list("v1", "Pod", selector="app=m")
            return [each for each in listed if each["spec"].get("nodeName") == "node-0"]

        wait_until(lambda: len(scheduled()) == 1, within_s=20, what="the pod has a node")
        objects.patch_pod_status(scheduled()[0], ip="10.1.1.1")

        def addresses() -> list[str]:
            slices = objects.list("discovery.k8s.io/v1", "EndpointSlice", selector=SERVICE)
            ends = [end for each in slices for end in each["endpoints"] or ()]
            return [address for end in ends for address in end["addresses"]]

        wait_until(lambda: addresses() == ["10.1.1.1"], within_s=20, what="the pod is listed")
        objects.delete(deployment, wait=True)
        wait_until(
            lambda: objects.list("apps/v1", "ReplicaSet") == [],
            within_s=20,
            what="the replica set went with its owner",
        )
