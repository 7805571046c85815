"""A Kubernetes API server that behaves, and misbehaves when told: one process, loopback, HTTP.

Objects have resource versions, watches have a history that can be compacted, lists have pages.
It knows no schema and no rights; tests against the real one are in ``tests/integration``.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from loadstar.kube.resources import Resource
from loadstar.kube.selectors import parse

PAUSE_SECONDS = 0.005


@dataclass(slots=True)
class Refusal:
    """What the next calls get instead of an answer."""

    status: int
    reason: str = ""
    times: int = 1
    path: str = ""
    """Only where the path holds this."""
    retry_after: str = ""


@dataclass(slots=True)
class Asked:
    """One call, as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any = None
    authorization: str = ""
    content_type: str = ""


@dataclass(slots=True)
class FakeApi:
    """The server's state; tests change it directly."""

    version: int = 100
    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    """(collection, namespace, name)."""
    history: list[tuple[int, str, str, dict[str, Any]]] = field(default_factory=list)
    """(version, collection, type, object)."""
    compacted: int = 0
    """Versions up to here are forgotten."""
    installed: set[str] = field(default_factory=set)
    refusals: deque[Refusal] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    epoch: int = 0
    """Watches of an earlier epoch are cut off."""
    bookmark: int = 0
    """Grows when every watch should send a bookmark."""
    ends_watches: bool = False
    """Whether each watch ends at once, as behind an impatient proxy."""
    garbage: bytes = b""
    """What watches say instead of an event, once."""
    pause: float = 0.0
    """Seconds before each answer."""
    tokens: set[str] | None = None
    """Those accepted; None is anybody."""
    url: str = ""
    reviews: dict[str, Any] = field(default_factory=dict)
    """Status of the next review, by plural."""

    def put(self, resource: Resource, name: str, namespace: str = "default", **fields: Any) -> None:
        """Create or replace an object. ``metadata`` adds to what it has."""
        collection = _collection(resource)
        self.installed.add(collection)
        self.version += 1
        key = (collection, namespace if resource.namespaced else "", name)
        before = self.objects.get(key)
        metadata = {
            "name": name,
            "uid": before["metadata"]["uid"] if before else f"uid-{self.version}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **fields.pop("metadata", {}),
            "resourceVersion": str(self.version),
        }
        if resource.namespaced:
            metadata["namespace"] = namespace
        document = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": metadata,
            **fields,
        }
        self.objects[key] = document
        self.history.append((self.version, collection, "MODIFIED" if before else "ADDED", document))

    def remove(self, resource: Resource, name: str, namespace: str = "default") -> None:
        collection = _collection(resource)
        self.version += 1
        key = (collection, namespace if resource.namespaced else "", name)
        document = copy.deepcopy(self.objects.pop(key))
        document["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, collection, "DELETED", document))

    def forget(self) -> None:
        """Compact: no watch can go on from before now."""
        self.version += 1
        self.compacted = self.version
        self.history.clear()

    def cut(self) -> None:
        """Reset every watch."""
        self.epoch += 1

    def calls(self, word: str) -> list[Asked]:
        """The calls so far whose path holds ``word``: lists and watches alike."""
        return [asked for asked in self.asked if word in asked.path]

    def lists(self, word: str) -> int:
        return sum(a.method == "GET" and "watch" not in a.query for a in self.calls(word))

    def watches(self, word: str) -> int:
        return sum("watch" in a.query for a in self.calls(word))


def _collection(resource: Resource) -> str:
    return resource.path()


@asynccontextmanager
async def serving(api: FakeApi, port: int = 0) -> AsyncIterator[str]:
    """``api`` on loopback; yields its URL. Left, it is gone, and its watches with it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", partial(_answer, api))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api.url
    finally:
        api.cut()
        await runner.cleanup()


def kubeconfig(path: Path, server: str, token: str = "t0ken") -> Path:
    """A kubeconfig for ``server``."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "lab"}}
        ],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


async def _answer(api: FakeApi, request: web.Request) -> web.StreamResponse:
    body = json.loads(text) if (text := await request.text()) else None
    asked = Asked(
        request.method,
        request.path,
        dict(request.query),
        body,
        request.headers.get("Authorization", ""),
        request.content_type,
    )
    api.asked.append(asked)
    if api.pause:
        await asyncio.sleep(api.pause)
    if api.tokens is not None and asked.authorization.removeprefix("Bearer ") not in api.tokens:
        return _status(401, "Unauthorized", "Unauthorized")
    for refusal in api.refusals:
        if refusal.path in request.path:
            refusal.times -= 1
            if refusal.times <= 0:
                api.refusals.remove(refusal)
            headers = {"Retry-After": refusal.retry_after} if refusal.retry_after else {}
            return _status(refusal.status, refusal.reason, "as told", headers)
    collection, namespace, name, _part = _place(request.path)
    if collection.endswith("reviews"):
        plural = collection.rsplit("/", 1)[1]
        return web.json_response({**(body or {}), "status": api.reviews[plural]}, status=201)
    if collection not in api.installed:
        return web.Response(status=404, text="404 page not found\n")
    if request.method == "GET" and not name:
        if "watch" in request.query:
            return await _watch(api, request, collection, namespace)
        return _list(api, request, collection, namespace)
    return _object(api, asked, (collection, namespace, name))


def _place(path: str) -> tuple[str, str, str, str]:
    """Collection, namespace, name and part of ``/api/v1/namespaces/n/pods/p/status``."""
    words = path.strip("/").split("/")
    root = 2 if words[0] == "api" else 3
    head, rest = words[:root], words[root:]
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    rest += ["", "", ""]
    return "/" + "/".join([*head, rest[0]]), namespace, rest[1], rest[2]


def _chosen(request: web.Request, namespace: str) -> Callable[[dict[str, Any]], bool]:
    selector = parse(request.query.get("labelSelector", ""))
    name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")

    def holds(document: dict[str, Any]) -> bool:
        metadata = document["metadata"]
        return (
            (not namespace or metadata.get("namespace") == namespace)
            and (not name or metadata["name"] == name)
            and selector.matches(metadata.get("labels") or {})
        )

    return holds


def _list(api: FakeApi, request: web.Request, collection: str, namespace: str) -> web.Response:
    holds = _chosen(request, namespace)
    items = [d for (c, _, _), d in sorted(api.objects.items()) if c == collection and holds(d)]
    start = int(request.query.get("continue", "0"))
    limit = int(request.query.get("limit", "0")) or len(items)
    metadata = {"resourceVersion": str(api.version)}
    if start + limit < len(items):
        metadata["continue"] = str(start + limit)
    bare = [
        {k: v for k, v in item.items() if k not in ("kind", "apiVersion")}
        for item in items[start : start + limit]
    ]
    return web.json_response({"kind": "List", "metadata": metadata, "items": bare})


async def _watch(
    api: FakeApi, request: web.Request, collection: str, namespace: str
) -> web.StreamResponse:
    holds = _chosen(request, namespace)
    since, epoch, bookmark = int(request.query["resourceVersion"]), api.epoch, api.bookmark
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)

    async def say(kind: str, document: dict[str, Any]) -> None:
        await answer.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")

    while True:
        if since < api.compacted:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await say("ERROR", gone)
            return answer
        if api.garbage:
            said, api.garbage = api.garbage, b""
            await answer.write(said)
        for version, where, kind, document in list(api.history):
            if version > since:
                since = version
                if where == collection and holds(document):
                    await say(kind, document)
        if bookmark != api.bookmark:
            bookmark = api.bookmark
            since = max(since, api.version)
            await say("BOOKMARK", {"metadata": {"resourceVersion": str(since)}})
        if api.ends_watches:
            return answer
        if epoch != api.epoch:
            # Without the chunk that ends the body: a connection that was cut.
            if request.transport is not None:
                request.transport.abort()
            return answer
        await asyncio.sleep(PAUSE_SECONDS)


def _object(api: FakeApi, asked: Asked, key: tuple[str, str, str]) -> web.Response:
    collection, namespace, name = key
    if asked.method == "POST":
        name = name or asked.body["metadata"]["name"]
        key = (collection, namespace, name)
        if key in api.objects:
            return _status(409, "AlreadyExists", f"{name} already exists")
        return web.json_response(_stored(api, key, asked.body, "ADDED"), status=201)
    if key not in api.objects:
        if asked.content_type == "application/apply-patch+yaml":
            return web.json_response(_stored(api, key, asked.body, "ADDED"), status=201)
        return _status(404, "NotFound", f"{name} not found")
    before = api.objects[key]
    match asked.method:
        case "PUT":
            said = asked.body["metadata"].get("resourceVersion")
            if said and said != before["metadata"]["resourceVersion"]:
                return _status(409, "Conflict", "the object has been modified")
            return web.json_response(_stored(api, key, asked.body, "MODIFIED"))
        case "PATCH":
            return web.json_response(_stored(api, key, _merged(before, asked.body), "MODIFIED"))
        case "DELETE":
            uid = ((asked.body or {}).get("preconditions") or {}).get("uid")
            if uid and uid != before["metadata"]["uid"]:
                return _status(409, "Conflict", "another object has that name")
            api.version += 1
            api.history.append((api.version, collection, "DELETED", api.objects.pop(key)))
            return _status(200, "", "")
        case _:
            return web.json_response(before)


def _stored(
    api: FakeApi, key: tuple[str, str, str], document: dict[str, Any], kind: str
) -> dict[str, Any]:
    api.version += 1
    kept = copy.deepcopy(document)
    before = api.objects.get(key)
    kept["metadata"] |= {
        "namespace": key[1],
        "uid": before["metadata"]["uid"] if before else f"uid-{api.version}",
        "resourceVersion": str(api.version),
    }
    api.objects[key] = kept
    api.history.append((api.version, key[0], kind, kept))
    return kept


def _merged(before: Any, change: Any) -> Any:
    """JSON merge patch."""
    if not isinstance(change, dict) or not isinstance(before, dict):
        return change
    merged = {**before}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name, {}), value)
    return merged


def _status(
    code: int, reason: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    document = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response(document, status=code, headers=headers)
