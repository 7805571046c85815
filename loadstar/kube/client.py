"""The few calls that we make to a Kubernetes API server. Not a second SDK: documents are dicts.

    async with KubeClient(Credentials(environment=os.environ), clock, user_agent="x") as kube:
        pod = await kube.get(PODS, "vllm-0", "prod")
        async for page in kube.pages(PODS, "prod", labels="app=vllm"): ...
        await kube.apply(CONFIG_MAPS, document, field_manager="loadstar")

Each call raises ``loadstar.kube.errors.ApiError`` and ends within ``CALL_SECONDS``. Calls are
not retried here, but for the next page of a list: whether that is safe is the caller's to know.
``reflector`` follows collections.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, TypeAlias

import aiohttp
import orjson

from loadstar.clock import Clock
from loadstar.kube.credentials import Connection, Credentials
from loadstar.kube.errors import ApiError, TooManyRequests
from loadstar.kube.resources import ACCESS_REVIEWS, TOKEN_REVIEWS, Resource
from loadstar.kube.transport import CONNECT_SECONDS, Transport

PAGE_OBJECTS = 100
"""Objects in one page of a list: half a MB of pods, read in less time than a stream notices."""
PAGE_PATIENCE_SECONDS = 30.0
LEAST_WAIT_SECONDS = 1.0
"""How long the next page of a list is asked for again, and how often at most, after a 429."""
MAX_EVENT_BYTES = 8 << 20
"""Of one watch event; etcd keeps no object as large."""
GRACE_SECONDS = 15.0
"""Beyond the time that a watch was asked to last, before it is given up."""

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"

Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, all of one moment."""

    items: Sequence[Document]
    resource_version: str
    """Where a watch goes on from, once every page is read."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """What a watch says: ``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK`` or ``ERROR``."""

    type: str
    object: Document


class Follows(Protocol):
    """The two calls by which a collection is followed."""

    def pages(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Page]: ...

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        since: str,
        seconds: float,
        labels: str = "",
        fields: str = "",
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[WatchEvent]: ...


class KubeClient:
    """One API server, as one user. An ``async with`` scope."""

    def __init__(self, credentials: Credentials, clock: Clock, *, user_agent: str) -> None:
        self._transport = Transport(credentials, clock, user_agent=user_agent)

    async def __aenter__(self) -> KubeClient:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def connection(self) -> Connection:
        """Where it calls, as whom. Raises ConfigError if the credentials never were good."""
        return await self._transport.connection()

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> Document:
        """One object, or its ``scale`` or ``status``."""
        return _document(
            await self._transport.call("GET", resource.path(namespace, name, subresource))
        )

    async def raw(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """GET of any path: ``/apis``, ``/openapi/v3``."""
        return await self._transport.call("GET", path, params=params)

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[Document]:
        """Every object of a collection; where there may be thousands, take ``pages``."""
        return [
            item
            async for page in self.pages(resource, namespace, labels=labels, fields=fields)
            for item in page.items
        ]

    async def pages(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Page]:
        """A collection, page by page. Raises Gone if that takes longer than the server keeps it.

        A server under pressure is waited for between two pages: to begin anew would press it more.
        """
        params = {"limit": str(PAGE_OBJECTS), **_selecting(labels, fields)}
        patience = 0.0
        while True:
            try:
                found = await self._transport.call("GET", resource.path(namespace), params=params)
            except TooManyRequests as error:
                if "continue" not in params or patience <= 0:
                    raise
                wait = min(max(error.retry_after or 0.0, LEAST_WAIT_SECONDS), patience)
                patience -= wait
                await asyncio.sleep(wait)
                continue
            patience = PAGE_PATIENCE_SECONDS
            metadata = _document(_document(found).get("metadata"))
            items = found.get("items") or []
            for item in items:  # a list does not repeat what its items are
                item.setdefault("kind", resource.kind)
                item.setdefault("apiVersion", resource.api_version)
            yield Page(items, str(metadata.get("resourceVersion", "")))
            following = metadata.get("continue")
            if not following:
                return
            params["continue"] = str(following)

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
        """What happens after resource version ``since``, for about ``seconds``, bookmarks too.

        ``opened`` is called once the server has agreed: from then on silence means no news.
        """
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(max(1, round(seconds))),
            **_selecting(labels, fields),
        }
        timeout = aiohttp.ClientTimeout(total=seconds + GRACE_SECONDS, sock_connect=CONNECT_SECONDS)
        async with self._transport.stream(
            "GET", resource.path(namespace), params, timeout
        ) as answer:
            if opened is not None:
                opened()
            async for line in _lines(answer):
                yield _event(line)

    async def create(
        self, resource: Resource, document: Document, namespace: str = "", *, subresource: str = ""
    ) -> Document:
        """POST: a new object, or one to a collection-like part of one (``eviction``, ``token``)."""
        name = document["metadata"]["name"] if subresource else ""
        path = resource.path(namespace or _namespace(document), name, subresource)
        return _document(await self._transport.call("POST", path, body=document))

    async def replace(
        self, resource: Resource, document: Document, *, subresource: str = ""
    ) -> Document:
        """PUT. Raises Conflict if the object has changed since ``document`` was read."""
        path = resource.path(_namespace(document), document["metadata"]["name"], subresource)
        return _document(await self._transport.call("PUT", path, body=document))

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        change: object,
        *,
        content_type: str = MERGE,
        subresource: str = "",
        field_manager: str = "",
    ) -> Document:
        """PATCH, by default a JSON merge patch."""
        return _document(
            await self._transport.call(
                "PATCH",
                resource.path(namespace, name, subresource),
                params={"fieldManager": field_manager} if field_manager else None,
                body=change,
                content_type=content_type,
            )
        )

    async def apply(
        self,
        resource: Resource,
        document: Document,
        *,
        field_manager: str,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Document:
        """Server-side apply: what ``document`` says is ours. Raises Conflict where it is another's.

        ``force`` takes those fields over.
        """
        params = {"fieldManager": field_manager, "force": "true" if force else "false"}
        if dry_run:
            params["dryRun"] = "All"
        path = resource.path(_namespace(document), document["metadata"]["name"], subresource)
        return _document(
            await self._transport.call(
                "PATCH", path, params=params, body=document, content_type=APPLY
            )
        )

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, uid: str = ""
    ) -> None:
        """DELETE; with ``uid`` only that very object, else Conflict."""
        body = {"preconditions": {"uid": uid}} if uid else None
        await self._transport.call("DELETE", resource.path(namespace, name), body=body)

    async def token_review(self, token: str, audiences: Sequence[str] = ()) -> Document:
        """Who ``token`` is: the review's status."""
        spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
        return await self._review(TOKEN_REVIEWS, spec)

    async def subject_access_review(self, spec: Document) -> Document:
        """Whether a user may do what ``spec`` says: the review's status."""
        return await self._review(ACCESS_REVIEWS, spec)

    async def _review(self, resource: Resource, spec: Document) -> Document:
        made = await self._transport.call(
            "POST",
            resource.path(),
            body={"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec},
        )
        return _document(_document(made).get("status"))


def _selecting(labels: str, fields: str) -> dict[str, str]:
    chosen = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in chosen.items() if value}


def _namespace(document: Document) -> str:
    return str(document["metadata"].get("namespace") or "")


def _document(value: object) -> Document:
    if not isinstance(value, dict):
        raise ApiError(f"the server answered {type(value).__name__} where an object was expected")
    return value


def _event(line: bytes) -> WatchEvent:
    try:
        said = orjson.loads(line)
        return WatchEvent(str(said["type"]), _document(said["object"]))
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ApiError(f"a watch said what is no event: {error}") from error


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of an answer that does not end, each within a bound."""
    rest = bytearray()
    async for part in answer.content.iter_any():
        rest += part
        if b"\n" in part:
            *whole, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in whole:
                if line:
                    yield line
        if len(rest) > MAX_EVENT_BYTES:
            raise ApiError(f"a watch event is longer than {MAX_EVENT_BYTES} bytes")
