"""A workload's and its autoscaler's documents: what is read of them, what is applied to them. Pure.

Applied documents name the one field that is ours and nothing else; the API server keeps account of
who owns which field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoscaler.actuate.workload.plan import Workload
from loadstar.kube.resources import DEPLOYMENTS, HPAS, REPLICA_SETS, STATEFUL_SETS, Resource

LEADER_WORKER_SETS = Resource(
    "leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet"
)
SCALED_OBJECTS = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
SCALABLE = {
    resource.kind: resource
    for resource in (DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS, LEADER_WORKER_SETS)
}
KEDA_DEFAULT_CEILING = 100


def owner_scaled_object(hpa: Mapping[str, Any]) -> str:
    """The ScaledObject that made ``hpa`` and would undo what is written to it; "" for none."""
    for owner in hpa["metadata"].get("ownerReferences") or ():
        if owner.get("kind") == SCALED_OBJECTS.kind:
            return str(owner.get("name", ""))
    return ""


def under_hpa(hpa: Mapping[str, Any], scale: Mapping[str, Any]) -> Workload:
    """A workload under an HPA, whose absent floor is 1."""
    spec = hpa["spec"]
    floor = spec.get("minReplicas")
    return Workload(
        replicas=int((scale.get("spec") or {}).get("replicas") or 0),
        floor=1 if floor is None else int(floor),
        ceiling=int(spec["maxReplicas"]),
        floor_may_be_zero=floor == 0,
    )


def under_scaled_object(scaled: Mapping[str, Any], scale: Mapping[str, Any]) -> Workload:
    """A workload under KEDA, whose absent floor is 0; KEDA itself goes from 0 to 1 and back."""
    spec = scaled["spec"]
    ceiling = spec.get("maxReplicaCount")
    return Workload(
        replicas=int((scale.get("spec") or {}).get("replicas") or 0),
        floor=int(spec.get("minReplicaCount") or 0),
        ceiling=KEDA_DEFAULT_CEILING if ceiling is None else int(ceiling),
        floor_may_be_zero=True,
    )


def alone(scale: Mapping[str, Any]) -> Workload:
    """A workload that nothing else scales."""
    return Workload(replicas=int((scale.get("spec") or {}).get("replicas") or 0))


def floor_of_hpa(name: str, namespace: str, replicas: int) -> dict[str, Any]:
    return _applied(HPAS, name, namespace, {"minReplicas": replicas})


def floor_of_scaled_object(name: str, namespace: str, replicas: int) -> dict[str, Any]:
    return _applied(SCALED_OBJECTS, name, namespace, {"minReplicaCount": replicas})


def count_patch(replicas: int, resource_version: str) -> dict[str, Any]:
    """A merge patch of the scale subresource that fails if it has changed since it was read."""
    return {
        "metadata": {"resourceVersion": resource_version},
        "spec": {"replicas": replicas},
    }


def _applied(resource: Resource, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
