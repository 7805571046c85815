"""Pods and nodes as supply: which replica is on which pool, what is ready, what is starting. Pure.

Views keep what decides and the times from which lead times are learned. The reflectors make them;
the loop asks ``supply``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autoscaler.observe.observation import PoolSupply
from autoscaler.policy.model import ModelPolicy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from loadstar.kube.conditions import is_true, seconds_of

NODE_POOL = "cloud.google.com/gke-nodepool"
COMPUTE_CLASS = "cloud.google.com/compute-class"
CORDONED_BY = "loadstar.dev/cordoned-by"
"""On a node that the autoscaler keeps pods from; whoever leads next lets it go or back."""
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod."""

    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str]
    node: str
    phase: str
    ready: bool
    terminating: bool
    created_s: float
    scheduled_s: float | None
    ready_s: float | None
    placing: Mapping[str, str]
    """Its node selector: where it will stand, while it stands nowhere."""
    stays: bool
    """Of a DaemonSet or the node's own: it comes and goes with the node."""
    replica_set: str = ""
    """Whose it is, if it is one's."""
    deletion_cost: int | None = None
    """As annotated."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node."""

    name: str
    labels: Mapping[str, str]
    ready: bool
    created_s: float
    ready_s: float | None
    cordoned: bool = False
    cordoned_by_us: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything known of a cluster at one moment."""

    pods: tuple[PodView, ...] = ()
    nodes: Mapping[str, NodeView] = field(default_factory=dict)


def pod_view(document: Mapping[str, Any]) -> PodView:
    """A pod's document; ValueError for what is none."""
    metadata, spec = document["metadata"], document.get("spec") or {}
    status = document.get("status") or {}
    conditions = status.get("conditions") or ()
    owners = {
        str(owner.get("kind")): str(owner.get("name", ""))
        for owner in metadata.get("ownerReferences") or ()
    }
    return PodView(
        name=str(metadata["name"]),
        namespace=str(metadata.get("namespace", "")),
        uid=str(metadata.get("uid", "")),
        labels=dict(metadata.get("labels") or {}),
        node=str(spec.get("nodeName") or ""),
        phase=str(status.get("phase") or "Pending"),
        ready=is_true(conditions, "Ready"),
        terminating=bool(metadata.get("deletionTimestamp")),
        created_s=seconds_of(str(metadata["creationTimestamp"])),
        scheduled_s=_since(conditions, "PodScheduled"),
        ready_s=_since(conditions, "Ready"),
        placing=dict(spec.get("nodeSelector") or {}),
        stays=bool(owners.keys() & {"DaemonSet", "Node"}),
        replica_set=owners.get("ReplicaSet", ""),
        deletion_cost=_cost((metadata.get("annotations") or {}).get(DELETION_COST)),
    )


def node_view(document: Mapping[str, Any]) -> NodeView:
    """A node's document; ValueError for what is none."""
    metadata = document["metadata"]
    conditions = (document.get("status") or {}).get("conditions") or ()
    return NodeView(
        name=str(metadata["name"]),
        labels=dict(metadata.get("labels") or {}),
        ready=is_true(conditions, "Ready"),
        created_s=seconds_of(str(metadata["creationTimestamp"])),
        ready_s=_since(conditions, "Ready"),
        cordoned=(cordoned := bool((document.get("spec") or {}).get("unschedulable"))),
        cordoned_by_us=cordoned and CORDONED_BY in (metadata.get("annotations") or {}),
    )


def _cost(said: object) -> int | None:
    """An annotation's number; what is none is as good as no annotation."""
    try:
        return int(str(said))
    except ValueError:
        return None


def _since(conditions: Iterable[Mapping[str, Any]], kind: str) -> float | None:
    """Since when a condition is true; None where it is not."""
    for condition in conditions:
        if condition.get("type") == kind and condition.get("status") == "True":
            said = condition.get("lastTransitionTime")
            return seconds_of(str(said)) if said else None
    return None


def pool_labels(pool: PoolPolicy) -> Mapping[str, str]:
    """The labels by which the nodes of ``pool`` are known."""
    if pool.labels:
        return pool.labels
    if pool.node_pool:
        return {NODE_POOL: pool.node_pool}
    if pool.compute_class:
        return {COMPUTE_CLASS: pool.compute_class}
    if pool.mode is PoolMode.COMPUTE_CLASS:
        return {COMPUTE_CLASS: pool.name}
    return {NODE_POOL: pool.name}


def supply(
    cluster: Cluster, model: ModelPolicy, pools: Iterable[PoolPolicy]
) -> dict[str, PoolSupply]:
    """What ``model`` has on each of ``pools``.

    A pod that stands nowhere counts where its node selector will have it; one that says nothing
    counts on the first pool, for it is replicas that are starting all the same.
    """
    listed = list(pools)
    counts = {pool.name: [0, 0, 0] for pool in listed}  # ready, starting, draining
    for pod in cluster.pods:
        if pod.namespace != model.namespace or not selected(pod.labels, model.selector):
            continue
        if pod.phase in ("Succeeded", "Failed"):
            continue
        place = _pool_of(pod, cluster, listed)
        if place is None:
            continue
        counts[place][2 if pod.terminating else 0 if pod.ready else 1] += 1
    found: dict[str, PoolSupply] = {}
    for pool in listed:
        wanted = pool_labels(pool)
        nodes = [node for node in cluster.nodes.values() if selected(node.labels, wanted)]
        ready = sum(node.ready and not node.cordoned for node in nodes)
        units = ready // pool.nodes_per_unit
        missing = -(-len(nodes) // pool.nodes_per_unit) - units
        serving, starting, draining = counts[pool.name]
        found[pool.name] = PoolSupply(
            replicas_ready=serving,
            replicas_starting=starting,
            replicas_draining=draining,
            units_ready=units,
            units_starting=max(0, missing),
        )
    return found


def empty_nodes(cluster: Cluster, pool: PoolPolicy) -> frozenset[str]:
    """Nodes of ``pool`` that are ready and on which nothing runs that would be missed."""
    wanted = pool_labels(pool)
    used = {
        pod.node
        for pod in cluster.pods
        if pod.node and not pod.stays and pod.phase not in ("Succeeded", "Failed")
    }
    return frozenset(
        node.name
        for node in cluster.nodes.values()
        if node.ready and selected(node.labels, wanted) and node.name not in used
    )


def cordoned_nodes(cluster: Cluster, pool: PoolPolicy) -> frozenset[str]:
    """Nodes of ``pool`` that the autoscaler, this process or one before it, has cordoned."""
    wanted = pool_labels(pool)
    return frozenset(
        node.name
        for node in cluster.nodes.values()
        if node.cordoned_by_us and selected(node.labels, wanted)
    )


def _pool_of(pod: PodView, cluster: Cluster, pools: list[PoolPolicy]) -> str | None:
    if pod.node:
        node = cluster.nodes.get(pod.node)
        if node is not None:
            for pool in pools:
                if selected(node.labels, pool_labels(pool)):
                    return pool.name
            return None if len(pools) > 1 else pools[0].name
    for pool in pools:
        wanted = pool_labels(pool)
        if wanted and all(pod.placing.get(key) == value for key, value in wanted.items()):
            return pool.name
    return pools[0].name if pools else None


def selected(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether ``labels`` has all of ``selector``."""
    return all(labels.get(key) == value for key, value in selector.items())
