"""The documents that ask a cluster for room: buffer, class, placeholder pods, request. Pure.

Each asks for ``spare`` units beyond those that pods of the model already stand on, shaped like one
of its pods, so that whichever autoscaler runs here buys the right machines by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autoscaler.policy.pools import PoolPolicy
from loadstar.kube import quantity
from loadstar.kube.quantity import Quantity
from loadstar.kube.resources import DEPLOYMENTS, Resource

BUFFERS = Resource("autoscaling.x-k8s.io", "v1beta1", "capacitybuffers", "CapacityBuffer")
BUFFERS_ALPHA = Resource("autoscaling.x-k8s.io", "v1alpha1", "capacitybuffers", "CapacityBuffer")
CLASSES = Resource("cloud.google.com", "v1", "computeclasses", "ComputeClass", namespaced=False)
REQUESTS = Resource("autoscaling.x-k8s.io", "v1", "provisioningrequests", "ProvisioningRequest")
TEMPLATES = Resource("", "v1", "podtemplates", "PodTemplate")
PRIORITIES = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False
)

CLASS_MINIMUM, CLASS_BUFFERS = "minimumCapacity", "buffers"
"""Fields of a ComputeClass by which it keeps nodes ahead of pods; a cluster may know either."""

ACTIVE = "buffer.x-k8s.io/active-capacity"
ATOMIC = "best-effort-atomic-scale-up.autoscaling.x-k8s.io"
PRIORITY = "loadstar-placeholder"
PRIORITY_VALUE = -10
"""The lowest at which the cluster autoscaler still buys nodes for a pod."""
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
OWNER = {"app.kubernetes.io/managed-by": "loadstar-autoscaler"}


def name_of(pool: PoolPolicy, model: str = "") -> str:
    """A DNS label for what is made in the name of ``pool``."""
    text = f"loadstar-{pool.name}" + (f"-{model}" if model else "")
    kept = "".join(c if c.isalnum() or c == "-" else "-" for c in text.lower())
    return kept[:63].strip("-")


def class_of(pool: PoolPolicy) -> str:
    """The ComputeClass that ``pool`` stands for."""
    return pool.compute_class or pool.name


def spare_units(pool: PoolPolicy, wanted_units: int, replicas: int) -> int:
    """Units to keep free beyond those that ``replicas``, ready or starting, stand on."""
    return max(0, wanted_units - -(-replicas // pool.replicas_per_unit))


def buffer(
    resource: Resource, pool: PoolPolicy, namespace: str, target: Mapping[str, str], replicas: int
) -> dict[str, Any]:
    """Room for ``replicas`` more pods of ``target`` ({apiGroup, kind, name})."""
    spec = {"provisioningStrategy": ACTIVE, "scalableRef": dict(target), "replicas": replicas}
    return _document(resource, name_of(pool), namespace, spec)


def class_minimum(pool: PoolPolicy, nodes: int) -> dict[str, Any]:
    """At least ``nodes`` nodes of the class, whatever stands on them: not spare ones, but all."""
    return _document(CLASSES, class_of(pool), "", {CLASS_MINIMUM: {"targetNodeCount": nodes}})


def class_buffer(pool: PoolPolicy, limits: Mapping[str, str]) -> dict[str, Any]:
    """The class's own buffer, bounded by ``limits``: resource to quantity."""
    buffers = [{"provisioningStrategy": ACTIVE, "limits": dict(limits)}]
    return _document(CLASSES, class_of(pool), "", {CLASS_BUFFERS: buffers})


def placeholders(
    pool: PoolPolicy, namespace: str, pod: Mapping[str, Any], replicas: int
) -> dict[str, Any]:
    """Pods that do nothing where ``pod`` (a pod spec) would stand, and make way for it at once."""
    labels = {**OWNER, "loadstar.dev/placeholder": name_of(pool)}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                **_placing(pod),
                "priorityClassName": PRIORITY,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "containers": [
                    {
                        "name": "placeholder",
                        "image": PAUSE_IMAGE,
                        "resources": {"requests": (asked := requests(pod)), "limits": asked},
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                            "readOnlyRootFilesystem": True,
                            "runAsNonRoot": True,
                            "runAsUser": 65534,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                    }
                ],
            },
        },
    }
    return _document(DEPLOYMENTS, name_of(pool), namespace, spec)


def priority() -> dict[str, Any]:
    """The class of the placeholders: never preempting, preempted first."""
    return {
        "apiVersion": PRIORITIES.api_version,
        "kind": PRIORITIES.kind,
        "metadata": {"name": PRIORITY, "labels": OWNER},
        "value": PRIORITY_VALUE,
        "globalDefault": False,
        "preemptionPolicy": "Never",
        "description": "Keeps room for model servers, and makes way for any pod.",
    }


def template(
    pool: PoolPolicy, namespace: str, pod: Mapping[str, Any], number: int
) -> dict[str, Any]:
    """What one pod of a request looks like."""
    container = {
        "name": "placeholder",
        "image": PAUSE_IMAGE,
        # Accelerators cannot be overcommitted: the server wants their limit said.
        "resources": {"requests": (asked := requests(pod)), "limits": asked},
    }
    return {
        "apiVersion": TEMPLATES.api_version,
        "kind": TEMPLATES.kind,
        "metadata": {
            "name": f"{name_of(pool)}-{number}",
            "namespace": namespace,
            "labels": OWNER,
        },
        "template": {
            "metadata": {"labels": OWNER},
            "spec": {**_placing(pod), "containers": [container]},
        },
    }


def request(pool: PoolPolicy, namespace: str, number: int, pods: int) -> dict[str, Any]:
    """All of ``pods`` pods or none; immutable, so each order has a number of its own."""
    name = f"{name_of(pool)}-{number}"
    spec = {
        "provisioningClassName": ATOMIC,
        "podSets": [{"podTemplateRef": {"name": name}, "count": pods}],
    }
    return _document(REQUESTS, name, namespace, spec)


def requests(pod: Mapping[str, Any]) -> dict[str, str]:
    """What the scheduler counts for ``pod``: requests, or limits where there are none, summed."""
    total: dict[str, Quantity] = {}
    for container in pod.get("containers", ()):
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, amount in asked.items():
            found = quantity.parse(str(amount))
            if name in total:
                found = replace(found, value=total[name].value + found.value)
            total[name] = found
    return {name: str(amount) for name, amount in sorted(total.items())}


def _placing(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What decides where ``pod`` may stand."""
    kept = ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "schedulerName")
    return {key: pod[key] for key in kept if pod.get(key)}


def _document(
    resource: Resource, name: str, namespace: str, spec: Mapping[str, Any]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": OWNER}
    if resource.namespaced:
        metadata["namespace"] = namespace
    if resource is CLASSES:
        del metadata["labels"]  # the class is the operator's; only one field of it is ours
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        "spec": dict(spec),
    }
