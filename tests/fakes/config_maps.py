"""An API server as one who follows a ConfigMap sees it: it lists, watches, forgets, goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from loadstar.kube.client import Page, WatchEvent
from loadstar.kube.errors import ApiError, Gone, NotFound, Unreachable
from loadstar.kube.resources import EVENTS, Resource


class FakeConfigMaps:
    """Holds one ConfigMap, ``prod/gateway``, and the Events that were written."""

    def __init__(self) -> None:
        self.version = 10
        self.document: dict[str, Any] | None = None
        self.away = False
        self.forgets = False
        """The next watch is told that its version is too old."""
        self.refuses: ApiError | None = None
        self.events: list[dict[str, Any]] = []
        self.patches: list[object] = []
        self.lists = 0
        self._watches: list[asyncio.Queue[WatchEvent | ApiError]] = []

    def write(self, data: dict[str, str] | None) -> int:
        """Create or change it; None deletes it. The new resource version."""
        self.version += 1
        old, kind = self.document, "MODIFIED" if self.document else "ADDED"
        if data is None:
            self.document, kind = None, "DELETED"
        else:
            self.document = self._of(data)
        told = self.document or dict(old or {})
        told["metadata"] = {**told["metadata"], "resourceVersion": str(self.version)}
        for watch in self._watches:
            watch.put_nowait(WatchEvent(kind, told))
        return self.version

    def go(self, *, away: bool) -> None:
        """Break every watch and answer nothing, or come back."""
        self.away = away
        for watch in self._watches:
            watch.put_nowait(Unreachable("reset"))

    def _of(self, data: dict[str, str]) -> dict[str, Any]:
        metadata = {
            "name": "gateway",
            "namespace": "prod",
            "uid": "u-1",
            "resourceVersion": str(self.version),
        }
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def _answers(self) -> None:
        if self.away:
            raise Unreachable("connection refused")
        if self.refuses is not None:
            raise self.refuses

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> dict[str, Any]:
        self._answers()
        if self.document is None or (namespace, name) != ("prod", "gateway"):
            raise NotFound(f'configmaps "{name}" not found')
        return self.document

    async def pages(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Page]:
        self._answers()
        self.lists += 1
        assert (namespace, fields) == ("prod", "metadata.name=gateway")
        yield Page([self.document] if self.document else [], str(self.version))

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        since: str,
        seconds: float,
        labels: str = "",
        fields: str = "",
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[WatchEvent]:
        self._answers()
        if self.forgets:
            self.forgets = False
            raise Gone("too old resource version")
        queue: asyncio.Queue[WatchEvent | ApiError] = asyncio.Queue()
        self._watches.append(queue)
        if opened is not None:
            opened()
        if int(since) < self.version and self.document is not None:
            queue.put_nowait(WatchEvent("MODIFIED", self.document))
        try:
            while True:
                said = await queue.get()
                if isinstance(said, ApiError):
                    raise said
                yield said
        finally:
            self._watches.remove(queue)

    async def create(
        self,
        resource: Resource,
        document: dict[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> dict[str, Any]:
        self._answers()
        assert (resource, namespace) == (EVENTS, "prod")
        self.events.append(document)
        return document

    async def patch(
        self, resource: Resource, name: str, namespace: str, change: object
    ) -> dict[str, Any]:
        self._answers()
        self.patches.append(change)
        return {}
