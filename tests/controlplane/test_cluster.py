"""The control plane itself: it answers, applies, refuses, goes away and comes back."""

from __future__ import annotations

import pytest
from kubernetes import client, config

from tests.controlplane.api import ApiError, Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until
from tests.controlplane.recipes import KUBERNETES_VERSION

pytestmark = pytest.mark.controlplane


def config_map(namespace: str, name: str = "policy", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def widgets(group: str) -> Object:
    """A CRD whose ``spec.size`` is at least 1, by schema, and odd, by CEL."""
    size = {
        "type": "integer",
        "minimum": 1,
        "x-kubernetes-validations": [{"rule": "self % 2 == 1", "message": "size must be odd"}],
    }
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": size}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def widget(group: str, namespace: str, size: object) -> Object:
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": namespace},
        "spec": {"size": size},
    }


def test_the_server_says_its_version_so_that_clients_can_read_it(
    control_plane: ControlPlane,
) -> None:
    version = control_plane.objects.api.request("GET", "/version")
    assert (version["gitVersion"], version["major"], version["minor"]) == (
        KUBERNETES_VERSION,
        "1",
        "36",
    )


def test_the_official_client_reads_the_kubeconfig(control_plane: ControlPlane) -> None:
    with config.new_client_from_config(  # type: ignore[no-untyped-call] # the library's gap
        str(control_plane.kubeconfig)
    ) as api:
        listed = client.CoreV1Api(api).list_namespace().to_dict()["items"]
    assert {"default", "kube-system"} <= {each["metadata"]["name"] for each in listed}


def test_what_is_applied_twice_is_changed_and_what_is_left_out_goes(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    objects = control_plane.objects
    objects.apply(config_map(kube_namespace, a="1", b="2"))
    objects.apply(config_map(kube_namespace, a="3"))
    stored = objects.get("v1", "ConfigMap", "policy", kube_namespace)
    assert stored is not None
    assert stored["data"] == {"a": "3"}


def test_a_crd_is_usable_by_what_is_applied_with_it(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    group = f"{kube_namespace}.loadstar.test"
    definition = widgets(group)
    applied = control_plane.objects.apply([widget(group, kube_namespace, 3), definition])
    assert [each["kind"] for each in applied] == ["CustomResourceDefinition", "Widget"]
    control_plane.objects.delete(definition, wait=True)


@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        pytest.param(0, "should be greater than or equal to 1", id="schema"),
        pytest.param(4, "size must be odd", id="CEL"),
        pytest.param("3", "expected numeric", id="type"),
    ],
)
def test_a_dry_run_refuses_what_the_schema_or_its_rules_refuse(
    control_plane: ControlPlane, kube_namespace: str, size: object, complaint: str
) -> None:
    group = f"{kube_namespace}.loadstar.test"
    definition = widgets(group)
    with pytest.raises(ApiError, match=complaint):
        control_plane.objects.dry_run([definition, widget(group, kube_namespace, size)])
    control_plane.objects.delete(definition, wait=True)


def test_a_dry_run_stores_nothing_and_names_unknown_fields(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    objects = control_plane.objects
    judged = objects.dry_run(config_map(kube_namespace, a="1"))
    assert judged[0]["data"] == {"a": "1"}
    assert objects.get("v1", "ConfigMap", "policy", kube_namespace) is None
    with pytest.raises(ApiError, match=r"unknown field .*dta|dta.*field not declared"):
        objects.dry_run({**config_map(kube_namespace), "dta": {}})


def test_a_pod_is_played_ready_then_not_then_gone(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    objects = control_plane.objects
    pod = objects.ready_pod(
        "m-0", ip="127.0.0.1", namespace=kube_namespace, labels={"app": "m"}, ports=[8000]
    )
    assert pod["status"]["podIP"] == "127.0.0.1"
    assert {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"] == "True"
    pod = objects.patch_pod_status(pod, ready=False)
    assert {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"] == "False"
    assert pod["status"]["podIP"] == "127.0.0.1"
    (listed,) = objects.list("v1", "Pod", kube_namespace, "app=m")
    objects.delete(listed, wait=True)
    assert objects.list("v1", "Pod", kube_namespace) == []


def test_a_pod_with_a_finalizer_stays_in_termination_until_it_is_let_go(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    objects = control_plane.objects
    pod = objects.ready_pod(
        "m-0", ip="127.0.0.1", namespace=kube_namespace, finalizers=["loadstar.test/hold"]
    )
    objects.delete(pod)
    held = objects.get("v1", "Pod", "m-0", kube_namespace)
    assert held is not None
    assert "deletionTimestamp" in held["metadata"]
    objects.patch(held, {"metadata": {"finalizers": None}})
    wait_until(
        lambda: objects.get("v1", "Pod", "m-0", kube_namespace) is None,
        within_s=15,
        what="the pod is gone",
    )


def test_a_node_is_played_with_its_accelerators(control_plane: ControlPlane) -> None:
    objects = control_plane.objects
    node = objects.node("gpu-0", labels={"pool": "h100"}, cpu="8", nvidia_com__gpu="1")
    assert node["status"]["allocatable"] == {"pods": "110", "cpu": "8", "nvidia.com/gpu": "1"}
    assert "taints" not in node["spec"]
    objects.delete(node, wait=True)


def test_a_deployment_becomes_pods(control_plane: ControlPlane, kube_namespace: str) -> None:
    objects = control_plane.objects
    labels = {"app": "m"}
    objects.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "m", "namespace": kube_namespace},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "m", "image": "none.invalid/m"}]},
                },
            },
        }
    )
    wait_until(
        lambda: len(objects.list("v1", "Pod", kube_namespace, "app=m")) == 2,
        within_s=30,
        what="two pods are made",
    )
