"""Leader election over a Lease, with a fencing token. ``step`` decides, ``Election`` acts.

A leader trusts its own clock, not its last success: past ``renew_deadline`` without a renewal it
has lost, also when it was only stopped and knows nothing of the time in between. Whatever must
have one writer asks ``fence.check()`` before each write, and may put ``fence.token`` into what
it writes: who leads later has the larger one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from loadstar.clock import Clock
from loadstar.kube.client import Document
from loadstar.kube.conditions import micro_timestamp
from loadstar.kube.errors import ApiError, Conflict, NotFound
from loadstar.kube.resources import LEASES, Resource

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Durations in seconds. A leader stops before another may start."""

    lease: float = 15.0
    """How long others wait after they last saw a renewal."""
    renew_deadline: float = 10.0
    """How long a leader that cannot renew goes on."""
    retry: float = 2.0
    """Between two tries."""

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.renew_deadline < self.lease:
            raise ValueError("must be 0 < retry < renew_deadline < lease")


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says, and since when by our own clock it has said so."""

    holder: str
    transitions: int
    renewed: str
    """The holder's clock, compared for being the same and no more."""
    seconds: float
    """How long it asks others to wait."""
    seen_at: float
    """Clock.now() at which we first saw exactly this."""


class Step(Enum):
    """What to do with a lease now."""

    CREATE = "create"
    RENEW = "renew"
    TAKE = "take"
    WAIT = "wait"


def step(record: Record | None, identity: str, now: float, terms: Terms) -> Step:
    """What ``identity`` may do, having seen ``record`` (None: there is no lease)."""
    if record is None:
        return Step.CREATE
    if record.holder == identity:
        return Step.RENEW
    if not record.holder or now - record.seen_at >= (record.seconds or terms.lease):
        return Step.TAKE
    return Step.WAIT


class LeaseLost(Exception):
    """Somebody else may lead now: stop writing."""


class Fence:
    """Leadership, as long as it lasts by our own clock."""

    def __init__(self, token: int, identity: str, clock: Clock, seconds: float, at: float) -> None:
        self.token = token
        """Grows with each change of leader (``leaseTransitions``)."""
        self.identity = identity
        self._clock = clock
        self._seconds = seconds
        self._until = at + seconds
        self._over = False

    @property
    def held(self) -> bool:
        """Whether we still lead, to our own certain knowledge."""
        return not self._over and self._clock.now() < self._until

    def check(self) -> None:
        """Raises LeaseLost unless we still lead."""
        if not self.held:
            raise LeaseLost(f"{self.identity} no longer leads (token {self.token})")

    def left(self, now: float) -> float:
        """Seconds that leadership still lasts if nothing is renewed."""
        return self._until - now

    def renewed(self, asked_at: float) -> None:
        """A renewal that was sent at ``asked_at`` succeeded."""
        self._until = max(self._until, asked_at + self._seconds)

    def end(self) -> None:
        """Over, for good."""
        self._over = True


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
        if before is not None and _same(before, said):
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


def _same(one: Record, other: Record) -> bool:
    return (one.holder, one.transitions, one.renewed) == (
        other.holder,
        other.transitions,
        other.renewed,
    )


async def _awaited(lead: Callable[[Fence], Awaitable[None]], fence: Fence) -> None:
    await lead(fence)
