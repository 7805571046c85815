"""What model servers say of themselves, pod by pod: how many report, and how busy each is. Pure.

Joins what gateways publish of endpoints with the pods of the cluster, by UID. The loop asks
``reporting`` before it believes its supply; acting asks ``replicas`` which of them to let go first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoscaler.observe.cluster import Cluster, PodView, selected
from autoscaler.policy.model import ModelPolicy
from loadstar.signals.model import EndpointLoad

PodKey = tuple[str, str]
"""Namespace and UID."""


@dataclass(frozen=True, slots=True)
class PodLoad:
    """One pod, all of its ports together."""

    observed_at_s: float | None
    """Of the port heard of last; None while none has been."""
    requests: float | None
    """Running and waiting in it; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Reporting:
    """Of so many replicas that should report, so many do."""

    replicas: int
    due: int

    @property
    def share(self) -> float:
        return self.replicas / self.due


@dataclass(frozen=True, slots=True)
class Replica:
    """One pod of a workload, for the question which should go first."""

    name: str
    ready: bool
    requests: float | None
    deletion_cost: int | None
    """As annotated; None without."""
    node: str = ""
    """Where it stands; "" where that is not known."""


def by_pod(loads: Iterable[EndpointLoad]) -> dict[PodKey, PodLoad]:
    """Endpoints by the pod that they are ports of; those that are no pods are left out."""
    found: dict[PodKey, PodLoad] = {}
    for load in loads:
        if not load.uid:
            continue
        key = load.namespace, load.uid
        own = PodLoad(load.observed_at, _requests(load))
        before = found.get(key)
        found[key] = own if before is None else _together(before, own)
    return found


def reporting(
    cluster: Cluster,
    model: ModelPolicy,
    heard: Mapping[PodKey, PodLoad],
    *,
    now_s: float,
    stale_after_s: float,
) -> Reporting | None:
    """How many of ``model``'s replicas report. None where that says nothing.

    Which is so while none has been ready for long enough to be heard of, and where no gateway
    lists any pod of the namespace: then nobody looks at them, and their silence means nothing.
    """
    if not any(namespace == model.namespace for namespace, _ in heard):
        return None
    due = [
        pod
        for pod in cluster.pods
        if pod.namespace == model.namespace
        and selected(pod.labels, model.selector)
        and pod.ready
        and not pod.terminating
        and pod.ready_s is not None
        and now_s - pod.ready_s >= stale_after_s
    ]
    if not due:
        return None
    fresh = [
        pod
        for pod in due
        if (load := heard.get((pod.namespace, pod.uid))) is not None
        and load.observed_at_s is not None
        and now_s - load.observed_at_s <= stale_after_s
    ]
    return Reporting(replicas=len(fresh), due=len(due))


def replicas(
    cluster: Cluster,
    kind: str,
    name: str,
    namespace: str,
    heard: Mapping[PodKey, PodLoad],
    *,
    now_s: float,
    stale_after_s: float,
) -> tuple[Replica, ...]:
    """The pods of one Deployment or ReplicaSet that are not on their way out, by name."""
    found = []
    for pod in cluster.pods:
        gone = pod.terminating or pod.phase in ("Succeeded", "Failed")
        if pod.namespace != namespace or gone or not _belongs(pod, kind, name):
            continue
        load = heard.get((namespace, pod.uid))
        known = (
            load is not None
            and load.observed_at_s is not None
            and now_s - load.observed_at_s <= stale_after_s
        )
        requests = load.requests if load is not None and known else None
        found.append(Replica(pod.name, pod.ready, requests, pod.deletion_cost, pod.node))
    return tuple(sorted(found, key=lambda replica: replica.name))


def _belongs(pod: PodView, kind: str, name: str) -> bool:
    """A Deployment's pods belong to ReplicaSets, which bear its name and the template's hash."""
    if kind == "ReplicaSet":
        return pod.replica_set == name
    made = pod.labels.get("pod-template-hash", "")
    return kind == "Deployment" and bool(made) and pod.replica_set == f"{name}-{made}"


def _requests(load: EndpointLoad) -> float | None:
    if load.running is None:
        return None
    return load.running + (load.waiting or 0.0)


def _together(one: PodLoad, other: PodLoad) -> PodLoad:
    times = [each for each in (one.observed_at_s, other.observed_at_s) if each is not None]
    known = one.requests is not None and other.requests is not None
    total = (one.requests or 0.0) + (other.requests or 0.0)
    return PodLoad(max(times, default=None), total if known else None)
