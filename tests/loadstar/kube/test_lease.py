"""Leader election: never two, soon one, and a leader that was stopped knows it is over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from loadstar.kube.client import Document
from loadstar.kube.errors import AlreadyExists, Conflict, NotFound, Unreachable
from loadstar.kube.leadership import Fence, LeaseLost, Record, Step, Terms, step
from loadstar.kube.lease import Election
from loadstar.kube.resources import Resource

TERMS = Terms(lease=15.0, renew_deadline=10.0, retry=2.0)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(None, Step.CREATE, id="no lease yet"),
        pytest.param(Record("me", 3, "t", 15, 0.0), Step.RENEW, id="ours"),
        pytest.param(Record("", 3, "t", 15, 99.0), Step.TAKE, id="given up"),
        pytest.param(Record("other", 3, "t", 15, 99.0), Step.WAIT, id="another's, alive"),
        pytest.param(Record("other", 3, "t", 15, 85.0), Step.TAKE, id="another's, silent"),
        pytest.param(Record("other", 3, "t", 60, 85.0), Step.WAIT, id="by its holder's terms"),
    ],
)
def test_what_may_be_done_with_a_lease(record: Record | None, expected: Step) -> None:
    assert step(record, "me", 100.0, TERMS) is expected


@pytest.mark.parametrize("terms", [(15, 15, 2), (15, 10, 10), (15, 10, 0)])
def test_terms_under_which_two_could_lead_are_refused(terms: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="renew_deadline < lease"):
        Terms(*terms)


@dataclass
class OwnClock:
    """One process's clock; the loop's, plus what it was stopped for."""

    skipped: float = 0.0

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.skipped

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now()


@dataclass
class Leases:
    """One Lease in one API server, which can be away for some."""

    document: Document | None = None
    version: int = 0
    away_for: set[str] = field(default_factory=set)
    holders: list[tuple[str, int]] = field(default_factory=list)

    def client(self, who: str) -> Calls:
        return Calls(self, who)


@dataclass
class Calls:
    leases: Leases
    who: str

    async def _reach(self) -> None:
        await asyncio.sleep(0.01)
        if self.who in self.leases.away_for:
            raise Unreachable("away")

    async def get(
        self, _resource: Resource, name: str, _namespace: str = "", *, subresource: str = ""
    ) -> Document:
        await self._reach()
        if self.leases.document is None:
            raise NotFound(name)
        return self.leases.document

    async def create(
        self,
        _resource: Resource,
        document: Document,
        _namespace: str = "",
        *,
        subresource: str = "",
    ) -> Document:
        await self._reach()
        if self.leases.document is not None:
            raise AlreadyExists("is there")
        return self._store(document)

    async def replace(
        self, _resource: Resource, document: Document, *, subresource: str = ""
    ) -> Document:
        await self._reach()
        if document["metadata"].get("resourceVersion") != str(self.leases.version):
            raise Conflict("changed")
        return self._store(document)

    def _store(self, document: Document) -> Document:
        self.leases.version += 1
        metadata = {**document["metadata"], "resourceVersion": str(self.leases.version)}
        self.leases.document = {**document, "metadata": metadata}
        spec: dict[str, Any] = document["spec"]
        said = (spec["holderIdentity"], spec["leaseTransitions"])
        if not self.leases.holders or self.leases.holders[-1] != said:
            self.leases.holders.append(said)
        return self.leases.document


class Candidate:
    """A process that wants to lead, and what it did while it did."""

    def __init__(self, leases: Leases, name: str) -> None:
        self.name = name
        self.clock = OwnClock()
        self.fences: list[Fence] = []
        self.lost = 0
        self.election = Election(
            leases.client(name),
            namespace="lab",
            name="loadstar",
            identity=name,
            clock=self.clock,
            rng=random.Random(name),
            terms=TERMS,
        )

    @property
    def leads(self) -> bool:
        return bool(self.fences) and self.fences[-1].held

    async def lead(self, fence: Fence) -> None:
        self.fences.append(fence)
        try:
            while True:
                fence.check()
                await asyncio.sleep(0.1)
        except LeaseLost:
            self.lost += 1


@asynccontextmanager
async def standing(*candidates: Candidate) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(c.election.run(c.lead)) for c in candidates]
        yield
        for task in running:
            task.cancel()


@pytest.mark.looptime
async def test_one_leads_and_goes_on_leading() -> None:
    leases = Leases()
    a, b = Candidate(leases, "a"), Candidate(leases, "b")
    async with standing(a, b):
        for _ in range(600):
            await asyncio.sleep(0.5)
            assert not (a.leads and b.leads)
        assert a.leads or b.leads
        assert len(a.fences) + len(b.fences) == 1
    assert leases.document is not None
    assert leases.document["spec"]["leaseDurationSeconds"] == 15


@pytest.mark.looptime
async def test_a_leader_that_cannot_renew_stops_before_another_starts() -> None:
    leases = Leases()
    a, b = Candidate(leases, "a"), Candidate(leases, "b")
    async with standing(a):
        await asyncio.sleep(5)
        async with standing(b):
            await asyncio.sleep(5)
            leases.away_for = {"a"}
            for _ in range(400):
                await asyncio.sleep(0.1)
                assert not (a.leads and b.leads)
            assert b.leads
            assert b.fences[-1].token > a.fences[-1].token
            leases.away_for = set()
            await asyncio.sleep(60)
            assert b.leads
            assert not a.leads


@pytest.mark.looptime
async def test_a_leader_that_was_stopped_notices_by_its_own_clock() -> None:
    leases = Leases()
    a = Candidate(leases, "a")
    async with standing(a):
        await asyncio.sleep(5)
        fence = a.fences[-1]
        fence.check()
        a.clock.skipped += TERMS.renew_deadline
        with pytest.raises(LeaseLost, match="token 0"):
            fence.check()
        await asyncio.sleep(10)
        assert a.lost == 1
        assert not fence.held  # for good, though it leads again under another
        assert a.leads


@pytest.mark.looptime
async def test_who_leaves_hands_over_at_once() -> None:
    leases = Leases()
    a, b = Candidate(leases, "a"), Candidate(leases, "b")
    async with standing(b):
        async with standing(a):
            await asyncio.sleep(5)
        first = "a" if a.fences else "b"
        await asyncio.sleep(4)
        assert b.leads
    if first == "a":
        assert leases.holders[:2] == [("a", 0), ("", 0)]
    assert leases.holders[-1][0] == ""
