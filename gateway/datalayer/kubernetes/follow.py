"""Follows a pool, its pods, objectives and rewrites, and tells the store what they come to. IO.

What is applied is always whole: nothing before everything was known once, and nothing while the
pods of a new selector are still being listed. When the API server is away, the last state stays.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.datalayer.discovered import Discovered
from gateway.datalayer.kubernetes.assemble import ANNOTATIONS, assemble
from gateway.datalayer.kubernetes.policies import (
    Objective,
    PoolName,
    Rewrite,
    objective,
    precedence,
    priorities,
    rewrite,
)
from gateway.datalayer.kubernetes.wanted import ByName, BySelector, Wanted
from gateway.datalayer.store import Datastore
from loadstar.clock import Clock
from loadstar.kube import selectors
from loadstar.kube.client import Document, Follows
from loadstar.kube.objects import NO_TEXTS, InferencePool, Pod, inference_pool, pod
from loadstar.kube.reflector import Reflector
from loadstar.kube.resources import (
    INFERENCE_OBJECTIVES,
    INFERENCE_OBJECTIVES_ALPHA,
    INFERENCE_OBJECTIVES_BEFORE_V1,
    MODEL_REWRITES,
    MODEL_REWRITES_ALPHA,
    PODS,
    Resource,
)

GATHER_SECONDS = 0.03
"""Changes come in bursts (a rollout, the first list): one epoch for all that come together."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Members:
    """Which pods, and which of their ports."""

    selector: str
    target_ports: tuple[int, ...]
    pool_labels: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)


@dataclass(frozen=True, slots=True)
class WatchState:
    """How one collection is followed, for who wants to know."""

    resource: str
    connected: bool
    heard_at: float
    """Clock.now() of the last word."""


class Following:
    """One pool, followed; ``run`` it once."""

    def __init__(
        self, kube: Follows, wanted: Wanted, store: Datastore, clock: Clock, rng: random.Random
    ) -> None:
        self._kube = kube
        self._wanted = wanted
        self._store = store
        self._clock = clock
        self._rng = rng
        self._changed = asyncio.Event()
        self._pool: Reflector[InferencePool] | None = None
        if isinstance(wanted.pool, ByName):
            name = f"metadata.name={wanted.pool.name}"
            self._pool = self._reflector(wanted.pool.resource, inference_pool, fields=name)
        # The newer group's first, and of that the newer version.
        self._objectives: tuple[Reflector[Objective], ...] = tuple(
            self._reflector(resource, objective, optional=True)
            for resource in (
                INFERENCE_OBJECTIVES,
                INFERENCE_OBJECTIVES_BEFORE_V1,
                INFERENCE_OBJECTIVES_ALPHA,
            )
        )
        self._rewrites: tuple[Reflector[Rewrite], ...] = tuple(
            self._reflector(resource, rewrite, optional=True)
            for resource in (MODEL_REWRITES, MODEL_REWRITES_ALPHA)
        )
        self._pods: Reflector[Pod] | None = None
        self._pods_task: asyncio.Task[None] | None = None
        self._selector: str | None = None
        self._applied: Discovered | None = None
        self._doubled: tuple[str, ...] = ()

    def watches(self) -> Iterator[WatchState]:
        """Every collection, and whether it is up to date; of several versions, the worst off."""
        followed = [self._pool, self._pods, *self._objectives, *self._rewrites]
        found: dict[str, WatchState] = {}
        for each in followed:
            if each is not None:
                name = str(each.resource)
                other = found.get(name, WatchState(name, True, float("inf")))
                connected = each.connected and other.connected
                found[name] = WatchState(name, connected, min(each.heard_at, other.heard_at))
        yield from found.values()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in (self._pool, *self._objectives, *self._rewrites):
                if each is not None:
                    tasks.create_task(each.run(), name=f"watch {each.resource}")
            while True:
                self._changed.clear()
                discovered = self._discovered(tasks)
                if discovered is not None and discovered != self._applied:
                    self._apply(discovered)
                await self._changed.wait()
                await asyncio.sleep(GATHER_SECONDS)

    def _discovered(self, tasks: asyncio.TaskGroup) -> Discovered | None:
        """What all that is followed comes to; None while that cannot be said."""
        members = self._members()
        if members is None:
            return None
        if isinstance(members, str):
            self._stop_pods()
            return Discovered(missing=members)
        pods = self._pods_with(members.selector, tasks)
        policies_known = all(o.synced for o in self._objectives) and all(
            r.synced for r in self._rewrites
        )
        if not (pods.synced and policies_known):
            return None
        assembled = assemble(pods.objects.values(), members.target_ports, self._wanted.metrics_port)
        if assembled.doubled != self._doubled:
            self._doubled = assembled.doubled
            if assembled.doubled:
                log.warning(
                    "pods that claim the address of a newer one are left out: %s",
                    ", ".join(assembled.doubled[:20]),
                )
        name = PoolName(self._wanted.name, self._wanted.group, members.pool_labels)
        return Discovered(
            endpoints=assembled.endpoints,
            objectives=priorities(_served(self._objectives), name),
            rewrites=precedence(_served(self._rewrites), name),
        )

    def _members(self) -> Members | str | None:
        """Which pods are wanted; a sentence if there is no pool; None if that is not known yet."""
        if isinstance(self._wanted.pool, BySelector):
            return Members(self._wanted.pool.selector, self._wanted.pool.target_ports)
        assert self._pool is not None
        if not self._pool.synced:
            return None
        pool = self._pool.objects.get((self._wanted.namespace, self._wanted.pool.name))
        if pool is None:
            return f"{self._wanted} does not exist"
        if pool.terminating:
            return f"{self._wanted} is being deleted"
        selector = str(selectors.from_labels(pool.selector))
        return Members(selector, pool.target_ports, pool.labels)

    def _pods_with(self, selector: str, tasks: asyncio.TaskGroup) -> Reflector[Pod]:
        """The pods of ``selector``, listed anew if it is another than before."""
        if self._pods is None or selector != self._selector:
            self._stop_pods()
            self._selector = selector
            self._pods = self._reflector(PODS, _pod, labels=selector)
            self._pods_task = tasks.create_task(self._pods.run(), name="watch pods")
        return self._pods

    def _reflector(
        self,
        resource: Resource,
        view: Callable[[Document], T],
        *,
        labels: str = "",
        fields: str = "",
        optional: bool = False,
    ) -> Reflector[T]:
        return Reflector(
            self._kube,
            resource,
            view=view,
            changed=self._changed.set,
            clock=self._clock,
            rng=self._rng,
            namespace=self._wanted.namespace,
            labels=labels,
            fields=fields,
            optional=optional,
        )

    def _stop_pods(self) -> None:
        if self._pods_task is not None:
            self._pods_task.cancel()
        self._pods = self._pods_task = self._selector = None

    def _apply(self, discovered: Discovered) -> None:
        try:
            change = self._store.apply(discovered)
        except ValueError as error:  # more than a store, or its memory, can hold
            log.error("%s: endpoints as they were: %s", self._wanted, error)
            return
        self._applied = discovered
        if discovered.missing:
            log.warning("%s: no requests are taken", discovered.missing)
        else:
            log.info(
                "%s: %d endpoints, %d added, %d removed, %d changed",
                self._wanted,
                len(discovered.endpoints),
                len(change.added),
                len(change.removed),
                len(change.changed),
            )


def _pod(document: Document) -> Pod:
    return pod(document, annotations=ANNOTATIONS)


def _served(kinds: tuple[Reflector[T], ...]) -> Iterator[T]:
    """The objects of the newer group where the server has it, else of the older, which is last."""
    *newer, older = kinds
    installed = [kind for kind in newer if kind.installed]
    for kind in installed or [older]:
        yield from kind.objects.values()
