"""What our calls look like on the wire of each rung: api, method and body. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoscaler.policy.pools import PoolMode

Call = dict[str, Any]
Request = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What does not change of a pool."""

    name: str
    mode: PoolMode
    nodes_per_unit: int
    replicas_per_unit: int
    zones: tuple[str, ...]
    quota_units: int | None
    quota_hidden: bool
    max_units: int
    owned: bool


def resize_call(pool: Pool, units_per_zone: int) -> Request:
    """Set the size of an owned pool."""
    nodes = units_per_zone * pool.nodes_per_unit
    if pool.mode is PoolMode.LOCAL:
        return "local", f"PUT pools/{pool.name}/size", {"nodeCount": nodes}
    if pool.mode is PoolMode.PROVISIONING_REQUEST:
        body = {"spec": {"podSets": [{"count": nodes}]}, "nodeCount": nodes}
        return "autoscaling.x-k8s.io/v1", f"POST provisioningrequests/{pool.name}", body
    return (
        "container.googleapis.com/v1",
        f"POST nodePools/{pool.name}:setSize",
        {"nodeCount": nodes},
    )


def floor_call(pool: Pool, units: int) -> Request:
    """Keep ``units`` of an autoscaled pool there."""
    nodes, name = units * pool.nodes_per_unit, pool.name
    match pool.mode:
        case PoolMode.BUFFER:
            body: dict[str, Any] = {"spec": {"replicas": units * pool.replicas_per_unit}}
            return "autoscaling.x-k8s.io/v1beta1", f"PATCH capacitybuffers/{name}", body
        case PoolMode.COMPUTE_CLASS:
            body = {"spec": {"minimumCapacity": {"targetNodeCount": nodes}}}
            return "cloud.google.com/v1", f"PATCH computeclasses/{name}", body
        case PoolMode.PLACEHOLDER:
            body = {"spec": {"replicas": units * pool.replicas_per_unit}}
            return "apps/v1", f"PATCH deployments/{name}-placeholder/scale", body
        case _:
            body = {"autoscaling": {"enabled": True, "totalMinNodeCount": nodes}}
            return "container.googleapis.com/v1", f"POST nodePools/{name}:setAutoscaling", body


def holds_pool(body: dict[str, Any]) -> bool:
    """Whether the provider is at work on the pool after the call, and takes no other meanwhile."""
    return "nodeCount" in body or "autoscaling" in body


def workload_call(now_s: float, hpa: str, workload: str, replicas: int) -> Call:
    """Hold a workload at ``replicas`` or more, written down as it is answered.

    An HPA has no floor of nought and does nothing at that size, so nought is set on the workload.
    """
    if replicas == 0:
        api, method = "apps/v1", f"PATCH deployments/{workload}/scale"
        spec = {"replicas": 0}
    else:
        api, method = "autoscaling/v2", f"PATCH horizontalpodautoscalers/{hpa}"
        spec = {"minReplicas": replicas}
    return {"t_s": now_s, "api": api, "method": method, "body": {"spec": spec}, "status": 200}
