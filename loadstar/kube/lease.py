"""Leader election over a Lease: ``leadership`` says what may be done, ``Election`` does it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from loadstar.clock import Clock
from loadstar.kube.client import Document
from loadstar.kube.conditions import micro_timestamp
from loadstar.kube.errors import ApiError, Conflict, NotFound
from loadstar.kube.leadership import Fence, Record, Step, Terms, step
from loadstar.kube.resources import LEASES, Resource

log = logging.getLogger(__name__)


class LeaseCalls(Protocol):
    """The three calls that an election needs."""

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> Document: ...

    async def create(
        self, resource: Resource, document: Document, namespace: str = "", *, subresource: str = ""
    ) -> Document: ...

    async def replace(
        self, resource: Resource, document: Document, *, subresource: str = ""
    ) -> Document: ...


class Election:
    """One candidate for one lease."""

    def __init__(
        self,
        kube: LeaseCalls,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        rng: random.Random,
        terms: Terms | None = None,
    ) -> None:
        """``identity`` is unique per process: the pod's name and something of its own."""
        self._kube = kube
        self._namespace, self._name = namespace, name
        self._identity = identity
        self._clock = clock
        self._rng = rng
        self._terms = Terms() if terms is None else terms
        self._record: Record | None = None
        self._document: Document | None = None

    async def run(self, lead: Callable[[Fence], Awaitable[None]]) -> None:
        """Stand, lead when elected, stand again; until cancelled. Then the lease is given up.

        ``lead`` is cancelled when leadership ends.
        """
        while True:
            fence = await self._elected()
            log.info("leading", extra={"lease": self._name, "token": fence.token})
            try:
                await self._lead(lead, fence)
            finally:
                fence.end()
                await self._release()
            log.warning("no longer leading", extra={"lease": self._name, "token": fence.token})

    async def _elected(self) -> Fence:
        while True:
            asked_at = self._clock.now()
            if await self._try():
                assert self._record is not None
                return Fence(
                    self._record.transitions,
                    self._identity,
                    self._clock,
                    self._terms.renew_deadline,
                    asked_at,
                )
            await asyncio.sleep(self._terms.retry * self._rng.uniform(1.0, 1.2))

    async def _lead(self, lead: Callable[[Fence], Awaitable[None]], fence: Fence) -> None:
        async with asyncio.TaskGroup() as tasks:
            leading = tasks.create_task(_awaited(lead, fence), name="lead")
            renewing = tasks.create_task(self._renew(fence), name="renew lease")
            await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
            leading.cancel()
            renewing.cancel()

    async def _renew(self, fence: Fence) -> None:
        """Renew until that fails for too long, or another leads."""
        while True:
            await asyncio.sleep(self._terms.retry)
            asked_at = self._clock.now()
            if not fence.held:
                return
            try:
                async with asyncio.timeout(fence.left(asked_at)):
                    renewed = await self._try()
            except TimeoutError:
                return
            if renewed:
                fence.renewed(asked_at)
            record = self._record
            if record is not None and record.holder not in ("", self._identity):
                return

    async def _try(self) -> bool:
        """One look and, where that is ours to do, one write. True if we lead after it."""
        try:
            await self._look()
            now = self._clock.now()
            todo = step(self._record, self._identity, now, self._terms)
            if todo is Step.WAIT:
                return False
            document = self._written(todo)
            if todo is Step.CREATE:
                written = await self._kube.create(LEASES, document, self._namespace)
            else:
                written = await self._kube.replace(LEASES, document)
            self._seen(written)
            return True
        except Conflict:
            return False  # somebody was faster; the next look shows who
        except ApiError as error:
            log.warning("lease %s: %s", self._name, error)
            return False

    async def _look(self) -> None:
        try:
            self._seen(await self._kube.get(LEASES, self._name, self._namespace))
        except NotFound:
            self._record, self._document = None, None

    def _seen(self, document: Document) -> None:
        spec: dict[str, Any] = document.get("spec") or {}
        said = Record(
            holder=str(spec.get("holderIdentity") or ""),
            transitions=int(spec.get("leaseTransitions") or 0),
            renewed=str(spec.get("renewTime") or ""),
            seconds=float(spec.get("leaseDurationSeconds") or 0),
            seen_at=self._clock.now(),
        )
        before = self._record
        if before is not None and before.says_as(said):
            said = before
        self._record, self._document = said, document

    def _written(self, todo: Step, holder: str | None = None) -> Document:
        """The lease as we would have it."""
        stamp = micro_timestamp(self._clock.wall())
        record = self._record
        before: dict[str, Any] = {} if self._document is None else self._document.get("spec") or {}
        transitions = 0 if record is None else record.transitions
        spec = {
            **before,
            "holderIdentity": self._identity if holder is None else holder,
            # Whole seconds, and never shorter than what we count on.
            "leaseDurationSeconds": max(1, -int(-self._terms.lease // 1)),
            "renewTime": stamp,
            "leaseTransitions": transitions + (todo is Step.TAKE),
        }
        if todo is not Step.RENEW:
            spec["acquireTime"] = stamp
        metadata = {"name": self._name, "namespace": self._namespace}
        if self._document is not None:
            metadata = self._document["metadata"]
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": spec,
        }

    async def _release(self) -> None:
        """Let another lead at once, if the lease is still ours."""
        record = self._record
        if record is None or record.holder != self._identity:
            return
        try:
            async with asyncio.timeout(self._terms.retry):
                await self._kube.replace(LEASES, self._written(Step.RENEW, holder=""))
        except (ApiError, TimeoutError) as error:
            log.info("lease %s not given up: %s", self._name, error)
        self._record = self._document = None


async def _awaited(lead: Callable[[Fence], Awaitable[None]], fence: Fence) -> None:
    await lead(fence)
