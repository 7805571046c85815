"""Which pods there are and what consists of them, kept up to date by watches. IO at its edge.

Services and InferencePools select their pods; Deployments, StatefulSets and LeaderWorkerSets are
named by theirs, and are followed for their own labels and for those that have no pod. Where they
may not be read, what their pods say has to do.

Objects are kept as the few fields that matter: 5,000 pods are 10 MB like this. While the API server
is away the last state stays; deleted pods are gone as soon as it says so.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from loadstar.clock import Clock
from loadstar.kube.client import Document, Follows
from loadstar.kube.reflector import Reflector
from loadstar.kube.resources import (
    DEPLOYMENTS,
    INFERENCE_POOLS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from loadstar.kube.selectors import Selector, from_labels, from_object
from metrics_adapter.catalog.resources import LEADER_WORKER_SETS
from metrics_adapter.query import Group, Inventory, Pod
from metrics_adapter.store import Store

SETTLE_SECONDS: Final = 0.2
"""Changes come in bursts; the inventory of 5,000 pods takes 5 ms to put together."""
BUSY_SHARE: Final = 0.1
"""Of the time, at most, is spent on that: 100,000 pods take 0.7 s, and some change all the time."""
MOST_OBJECTS: Final = 200_000
"""Of each kind in a cluster. Kubernetes promises to work up to 150,000 pods; those are 210 MB."""
_FINISHED: Final = frozenset({"Failed", "Succeeded"})
_STARTING_SECONDS: Final = 30.0
"""Within these a pod is first told to be not ready: as long as an HPA allows for it."""
_TEMPLATE_HASH: Final = "pod-template-hash"
_PORT_ANNOTATION: Final = "prometheus.io/port"
_SET_NAME: Final = "leaderworkerset.sigs.k8s.io/name"


class Objects:
    """Keeps a store's inventory in step with an API server."""

    def __init__(self, client: Follows, clock: Clock, rng: random.Random) -> None:
        self.name = "kubernetes"
        self._changed = asyncio.Event()
        self._clock = clock
        common: Mapping[str, Any] = {
            "changed": self._changed.set,
            "clock": clock,
            "rng": rng,
            "most": MOST_OBJECTS,
        }
        self._pods = Reflector(client, PODS, view=pod, **common)
        self._groups: tuple[Reflector[Group], ...] = (
            Reflector(client, SERVICES, view=service, optional=True, **common),
            Reflector(client, INFERENCE_POOLS, view=pool, optional=True, **common),
            *(
                Reflector(client, kind, view=partial(workload, kind), optional=True, **common)
                for kind in (DEPLOYMENTS, STATEFUL_SETS, LEADER_WORKER_SETS)
            ),
        )

    @property
    def synced(self) -> bool:
        """Whether all pods were listed once."""
        return self._pods.synced

    @property
    def problem(self) -> str:
        """Empty while the pods are as the API server has them."""
        if not self._pods.synced:
            return "pods have not been listed yet"
        return "" if self._pods.connected else "the API server is away; pods as last known"

    async def run(self, store: Store) -> None:
        """Until cancelled."""
        took = 0.0
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pods.run(), name=f"follow {self._pods.resource}")
            for kind in self._groups:
                tasks.create_task(kind.run(), name=f"follow {kind.resource}")
            while True:
                await self._changed.wait()
                await asyncio.sleep(max(SETTLE_SECONDS, took / BUSY_SHARE))
                self._changed.clear()
                if self._pods.synced:
                    began = self._clock.now()
                    store.know(await self._inventory())
                    took = self._clock.now() - began

    async def _inventory(self) -> Inventory:
        pods = [found for found in self._pods.objects.values() if found is not None]
        groups = [group for kind in self._groups for group in kind.objects.values()]
        # In a thread, so that no answer waits for it.
        return await asyncio.to_thread(Inventory, pods, groups, known=True)


def pod(document: Document) -> Pod | None:
    """What matters of a Pod; None for one that is being deleted, or has ended."""
    metadata, status = document["metadata"], document.get("status", {})
    if metadata.get("deletionTimestamp") or status.get("phase") in _FINISHED:
        return None
    labels = _labels(metadata.get("labels"))
    return Pod(
        namespace=sys.intern(str(metadata["namespace"])),
        name=str(metadata["name"]),
        uid=str(metadata.get("uid", "")),
        labels=labels,
        created_at=_time(metadata.get("creationTimestamp")),
        node=sys.intern(str(document.get("spec", {}).get("nodeName") or "")),
        owners=_owners(metadata.get("ownerReferences") or (), labels),
        address=str(status.get("podIP") or ""),
        metrics_port=_port((metadata.get("annotations") or {}).get(_PORT_ANNOTATION)),
        been_ready=_been_ready(status),
    )


def _been_ready(status: Document) -> bool:
    """Whether it is ready, or was: a condition that never changed is as old as the pod."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready":
            changed = _time(condition.get("lastTransitionTime"))
            started = _time(status.get("startTime")) or changed
            return condition.get("status") == "True" or changed > started + _STARTING_SECONDS
    return bool(status.get("phase") == "Running")


def service(document: Document) -> Group:
    """A Service and the pods it selects; without a selector, none."""
    selector = (document.get("spec") or {}).get("selector")
    return _group("services", document, from_labels(selector) if selector else None)


def pool(document: Document) -> Group:
    """An InferencePool, whose selector is the labels themselves or a LabelSelector."""
    written = (document.get("spec") or {}).get("selector")
    if isinstance(written, Mapping) and not set(written) & {"matchLabels", "matchExpressions"}:
        written = {"matchLabels": written}
    return _group(str(INFERENCE_POOLS), document, from_object(written) if written else None)


def workload(kind: Resource, document: Document) -> Group:
    """What makes pods and is named by them."""
    return _group(str(kind), document, None, owns=True)


def _group(
    resource: str, document: Document, selector: Selector | None, *, owns: bool = False
) -> Group:
    metadata = document["metadata"]
    return Group(
        resource,
        str(metadata["namespace"]),
        str(metadata["name"]),
        selector,
        _labels(metadata.get("labels")),
        owns,
    )


def _owners(
    references: Sequence[Mapping[str, Any]], labels: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    owners = []
    for reference in references:
        if not reference.get("controller"):
            continue
        kind, name = reference.get("kind"), str(reference.get("name", ""))
        template = labels.get(_TEMPLATE_HASH)
        if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
            # A Deployment names its ReplicaSets so; no watch of those is needed.
            deployment = name[: -len(template) - 1]
            owners.append(("deployments.apps", sys.intern(deployment)))
        elif kind == "StatefulSet":
            owners.append(("statefulsets.apps", sys.intern(name)))
    if _SET_NAME in labels:
        owners.append(("leaderworkersets.leaderworkerset.x-k8s.io", sys.intern(labels[_SET_NAME])))
    return tuple(owners)


def _labels(written: Mapping[str, Any] | None) -> Mapping[str, str]:
    return MappingProxyType(
        {sys.intern(str(k)): sys.intern(str(v)) for k, v in (written or {}).items()}
    )


def _port(text: object) -> int:
    """What is no port is nothing said."""
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()) or len(text) > 5:
        return 0
    return int(text) if int(text) < 65536 else 0


def _time(text: object) -> float:
    if not isinstance(text, str):
        return 0.0
    return datetime.datetime.fromisoformat(text).timestamp()
