"""Brings one workload to its size: read, plan, write through the gate. One a target.

Floors are applied by the server with a field manager of our own, and taken over where another
manager holds them: leave ``minReplicas`` out of what a GitOps tool applies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from autoscaler.actuate.gate import Call, Gate
from autoscaler.actuate.workload import documents
from autoscaler.actuate.workload.marking import Marking
from autoscaler.actuate.workload.plan import Change, Count, Floor, Workload, Written, changes, seen
from autoscaler.observe.replica_loads import Replica
from autoscaler.policy.model import TargetPolicy
from loadstar.kube.calls import Applies, Gets, Patches
from loadstar.kube.errors import Conflict, ServerError, Unreachable
from loadstar.kube.resources import HPAS, Resource

FIELD_MANAGER = "loadstar-autoscaler"
LOOKS = 4
"""In one tick, where the count changes each time before it is written."""
MARKED = ("Deployment", "ReplicaSet")
"""Others let pods go by their number, whatever they cost."""


class Kube(Gets, Applies, Patches, Protocol):
    """The three calls that it takes; ``loadstar.kube.client.KubeClient`` has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """What one tick came to."""

    workload: Workload
    written: tuple[Change, ...] = ()
    override: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read, and where the floor is written."""

    workload: Workload
    scale_version: str
    hpa: str = ""
    scaled_object: str = ""


class WorkloadDriver:
    """Keeps what was written last, to tell others' hands from our own."""

    def __init__(
        self,
        target: TargetPolicy,
        namespace: str,
        kube: Kube,
        gate: Gate,
        *,
        override_s: float,
        replicas: Callable[[], tuple[Replica, ...]] | None = None,
        known: Written | None = None,
    ) -> None:
        """With ``replicas``, those that should go first are marked before the workload shrinks.

        ``known`` is what an earlier driver of the same workload knew at its end.
        """
        self._target = target
        self._resource = documents.SCALABLE[target.kind]
        self._namespace = target.namespace or namespace
        self._kube = kube
        self._gate = gate
        self._override_s = override_s
        self.written = Written() if known is None else known.again()
        self._marking: Marking | None = None
        if replicas is not None and target.kind in MARKED:
            self._marking = Marking(
                target.name,
                self._namespace,
                kube,
                gate,
                replicas=replicas,
                field_manager=FIELD_MANAGER,
            )

    async def tick(self, wanted: int, now_s: float) -> Sized:
        """Write what is missing towards ``wanted``. Raises ApiError or NotWritten.

        A count that changed between look and write is looked at again: a Deployment's version moves
        with each pod that turns ready, and while many do, every period would lose that race.
        """
        done: list[Change] = []
        override, looks = "", 0
        while True:
            looks += 1
            found = await self._read()
            self.written, other = seen(self.written, found.workload, now_s, self._override_s)
            override = override or other
            if self._marking is not None and now_s >= self.written.held_until_s:
                await self._marking.tick(found.workload.replicas - wanted, now_s)
            try:
                for change in changes(self.written, found.workload, wanted, now_s):
                    await self._sure(change, found)
                    done.append(change)
            except Conflict:
                if looks == LOOKS:
                    raise
                continue
            return Sized(workload=found.workload, written=tuple(done), override=override)

    async def _sure(self, change: Change, found: _Found) -> None:
        """Write ``change``; where its answer is lost, what is there next is nobody's override."""
        try:
            await self._write(change, found)
        except (Unreachable, ServerError, TimeoutError, asyncio.CancelledError):
            self.written = self.written.again()
            raise
        self.written = self.written.of(change)

    async def _read(self) -> _Found:
        target, namespace = self._target, self._namespace
        scale = await self._kube.get(self._resource, target.name, namespace, subresource="scale")
        version = str(scale["metadata"].get("resourceVersion", ""))
        scaled_object = target.scaled_object
        hpa: Mapping[str, Any] | None = None
        if target.hpa and not scaled_object:
            hpa = await self._kube.get(HPAS, target.hpa, namespace)
            scaled_object = documents.owner_scaled_object(hpa)
        if scaled_object:
            scaled = await self._kube.get(documents.SCALED_OBJECTS, scaled_object, namespace)
            workload = documents.under_scaled_object(scaled, scale)
            return _Found(workload, version, scaled_object=scaled_object)
        if hpa is not None:
            return _Found(documents.under_hpa(hpa, scale), version, hpa=target.hpa)
        return _Found(documents.alone(scale), version)

    async def _write(self, change: Change, found: _Found) -> None:
        name, namespace = self._target.name, self._namespace
        match change:
            case Floor(replicas) if found.scaled_object:
                document = documents.floor_of_scaled_object(
                    found.scaled_object, namespace, replicas
                )
                await self._apply(documents.SCALED_OBJECTS, document)
            case Floor(replicas):
                document = documents.floor_of_hpa(found.hpa, namespace, replicas)
                await self._apply(HPAS, document)
            case Count(replicas):
                body = documents.count_patch(replicas, found.scale_version)
                call = Call(
                    api="kubernetes",
                    method="scale",
                    target=f"{self._resource}/{namespace}/{name}",
                    body={"replicas": replicas},
                )
                async with self._gate.writing(call):
                    await self._kube.patch(
                        self._resource,
                        name,
                        namespace,
                        body,
                        subresource="scale",
                        field_manager=FIELD_MANAGER,
                    )

    async def _apply(self, resource: Resource, document: dict[str, Any]) -> None:
        target = f"{resource}/{self._namespace}/{document['metadata']['name']}"
        call = Call(api="kubernetes", method="apply", target=target, body=document["spec"])
        async with self._gate.writing(call):
            await self._kube.apply(resource, document, field_manager=FIELD_MANAGER, force=True)
