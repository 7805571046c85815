"""What is installed works as one: a real HPA scales on what the gateway heard from model servers.

Gateway, adapter and autoscaler run with the rights, command lines and configurations of the kind
overlay, each by its service account's token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from autoscaler.ledger.entries import Decided
from autoscaler.ledger.files import read
from tests.controlplane.api import ApiError
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until
from tests.manifests.rendered import MANIFESTS
from tests.manifests.whole_site import ModelServers, Whole, running_pods, whole

pytestmark = [pytest.mark.controlplane, pytest.mark.slow, pytest.mark.timeout(240)]

HPA = MANIFESTS / "examples/hpa/kv-and-queue.yaml"
LABELS = {"app": "vllm"}
WAITING = {"127.0.0.2": 8.0, "127.0.0.3": 10.0}
WANTED = 4
"""Of ``HPA``: 18 requests wait, 5 a replica are its target."""
POLICY = """\
apiVersion: loadstar.dev/v1alpha1
kind: AutoscalerPolicy
mode: advisory
period: 1s
models:
- name: llama
  namespace: {namespace}
  selector: {{app: vllm}}
  variants:
  - pool: default
    target: {{kind: Deployment, name: vllm, hpa: vllm}}
pools:
- name: default
  mode: observe
"""


def test_a_real_hpa_scales_on_what_the_gateway_knows(
    control_plane: ControlPlane, kube_namespace: str, tmp_path: Path
) -> None:
    plane, namespace = control_plane, kube_namespace
    plane.objects.apply(deployment(namespace, replicas=len(WAITING)))
    with ModelServers(WAITING, kv_used=0.3) as servers:
        pods = running_pods(plane, namespace, list(WAITING), labels="app=vllm")
        policy = POLICY.format(namespace=namespace)
        with whole(plane, namespace, tmp_path, servers.port, policy) as site:
            metrics = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}"

            def values(path: str) -> dict[str, str]:
                try:
                    items = site.raw(f"{metrics}/{path}")["items"]
                except ApiError as error:
                    if error.status not in (404, 503):  # not known yet
                        raise
                    return {}
                return {each["describedObject"]["name"]: each["value"] for each in items}

            names = [pod["metadata"]["name"] for pod in pods]
            wait_until(
                lambda: values("pods/*/queue_depth") == dict(zip(names, ("8", "10"), strict=True)),
                within_s=30,
                what="the queues are served",
            )
            (hpa,) = yaml.safe_load_all(HPA.read_text())
            hpa["metadata"]["namespace"] = namespace
            plane.objects.apply(hpa)
            wait_until(lambda: replicas(plane, namespace) == WANTED, within_s=40, what="it grows")

            # The autoscaler sees the same pods, tells what it wants, and has written nothing.
            wait_until(
                lambda: "vllm" in values("deployments.apps/vllm/desired_replicas"),
                within_s=30,
                what="what the autoscaler wants is served",
            )
            wait_until(
                lambda: (
                    (last := decided(site)) is not None and replicas_of(last) == (2, WANTED - 2)
                ),
                within_s=20,
                what="it has seen the new ones",
            )
            last = decided(site)
            assert last is not None
            assert (last.mode, last.leads) == ("advisory", True)
            kept = plane.objects.get("autoscaling/v2", "HorizontalPodAutoscaler", "vllm", namespace)
            assert kept is not None
            assert kept["spec"]["minReplicas"] == 2
            managers = {each["manager"] for each in kept["metadata"]["managedFields"]}
            assert "loadstar-autoscaler" not in managers

            for process in (site.adapter, site.autoscaler):
                assert "orbidden" not in site.log(process)
            assert site.gateway.said("orbidden") == []


def decided(site: Whole) -> Decided | None:
    """The autoscaler's last decision."""
    found = [each for each in read(site.ledger) if isinstance(each, Decided)]
    return found[-1] if found else None


def replicas_of(last: Decided) -> tuple[int, int]:
    """Ready and starting, as it saw them."""
    supply = last.seen.supply["default"]
    return supply.replicas_ready, supply.replicas_starting


def deployment(namespace: str, *, replicas: int) -> dict[str, Any]:
    pod = {"containers": [{"name": "server", "image": "none.invalid/server"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "vllm", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }


def replicas(plane: ControlPlane, namespace: str) -> int:
    found = plane.objects.get("apps/v1", "Deployment", "vllm", namespace)
    assert found is not None
    return int(found["spec"]["replicas"])
