"""What reaches an object's events, and what is kept from flooding them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from loadstar.kube.client import Document
from loadstar.kube.errors import Forbidden, NotFound
from loadstar.kube.events import BURST, MAX_WAITING, REFILL_SECONDS, EventRecorder
from loadstar.kube.objects import ObjectRef
from loadstar.kube.resources import EVENTS, Resource
from tests.loadstar.kube.test_reflector import LoopClock

pytestmark = pytest.mark.looptime
POOL = ObjectRef("inference.networking.k8s.io/v1", "InferencePool", "llama", "lab", "u1")


class Written:
    """What would stand in the cluster."""

    def __init__(self) -> None:
        self.created: list[Document] = []
        self.patched: list[tuple[str, Any]] = []
        self.refuses = False
        self.forgot = False

    async def create(
        self, resource: Resource, document: Document, namespace: str = "", *, subresource: str = ""
    ) -> Document:
        assert (resource, namespace) == (EVENTS, document["metadata"]["namespace"])
        if self.refuses:
            raise Forbidden("no events for you")
        self.created.append(document)
        return document

    async def patch(
        self, _resource: Resource, name: str, _namespace: str, change: object
    ) -> Document:
        if self.forgot:
            raise NotFound("no such event")
        self.patched.append((name, change))
        return {}


@asynccontextmanager
async def recording(written: Written) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(written, LoopClock(), component="loadstar-gateway", instance="gw-0")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(recorder.run())
        yield recorder
        running.cancel()


async def test_an_event_says_who_what_and_why() -> None:
    written = Written()
    async with recording(written) as recorder:
        recorder.record(POOL, "Warning", "BadConfig", "profiles[0]: no such plugin")
        await asyncio.sleep(1)
    (document,) = written.created
    name = document["metadata"].pop("name")
    assert name.startswith("llama.")
    assert document == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "lab"},
        "involvedObject": {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "name": "llama",
            "namespace": "lab",
            "uid": "u1",
        },
        "type": "Warning",
        "reason": "BadConfig",
        "message": "profiles[0]: no such plugin",
        "source": {"component": "loadstar-gateway"},
        "reportingComponent": "loadstar-gateway",
        "reportingInstance": "gw-0",
        "firstTimestamp": "2023-11-14T22:13:20Z",
        "lastTimestamp": "2023-11-14T22:13:20Z",
        "count": 1,
    }


async def test_a_repetition_only_counts_until_the_server_forgets() -> None:
    written = Written()
    async with recording(written) as recorder:
        for _ in range(3):
            recorder.record(POOL, "Warning", "BadConfig", "same")
            await asyncio.sleep(10)
        assert [change["count"] for _, change in written.patched] == [2, 3]
        written.forgot = True
        recorder.record(POOL, "Warning", "BadConfig", "same")
        await asyncio.sleep(1)
    assert len(written.created) == 2
    assert len({document["metadata"]["name"] for document in written.created}) == 2


async def test_one_object_cannot_flood() -> None:
    written = Written()
    other = ObjectRef("v1", "ConfigMap", "c", "lab")
    async with recording(written) as recorder:
        for index in range(BURST + 10):
            recorder.record(POOL, "Normal", "Resized", f"to {index}")
        recorder.record(other, "Normal", "Taken", "it")
        await asyncio.sleep(1)
        assert len(written.created) == BURST + 1
        assert recorder.dropped == 10
        await asyncio.sleep(REFILL_SECONDS)
        recorder.record(POOL, "Normal", "Resized", "late")
        recorder.record(POOL, "Normal", "Resized", "later")
        await asyncio.sleep(1)
    assert written.created[-1]["message"] == "late"


async def test_what_cannot_be_sent_is_dropped_and_nobody_waits() -> None:
    written = Written()
    written.refuses = True
    async with recording(written) as recorder:
        for index in range(MAX_WAITING + 5):
            recorder.record(POOL, "Normal", "Resized", f"to {index}")
        await asyncio.sleep(1)
        assert recorder.dropped == MAX_WAITING + 5
