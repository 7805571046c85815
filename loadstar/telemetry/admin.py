"""The admin port: metrics, probes and debug pages over HTTP, for Prometheus, kubelets and people.

Probes answer everybody. Metrics and pages answer those who bring the token, or where there is none
only clients on this machine, unless they are declared open. Every page is a function called when
it is asked for; nothing here is on a request's path.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = logging.getLogger(__name__)

Page: TypeAlias = Callable[[], object]
"""Makes a value that JSON can hold."""

MAX_REQUEST_BYTES = 1024
"""Nobody has a body to send here."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may read metrics and pages: everybody (``open``), token holders, or this machine."""

    open: bool = False
    token_file: str = ""

    def __str__(self) -> str:
        if self.open:
            return "open to everybody"
        if self.token_file:
            return f"open to holders of the token in {self.token_file}"
        return "open to clients on this machine only"


def admin_app(
    *,
    registry: CollectorRegistry,
    why_not_ready: Callable[[], str],
    pages: Mapping[str, Page],
    guard: Guard,
    tasks: bool,
) -> web.Application:
    """The application. ``pages`` are path -> page; ``why_not_ready`` is empty when ready."""

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # In a thread: a page of thousands of series takes longer than a stream should wait.
        body = await asyncio.to_thread(encode, registry)
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    async def live(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        reason = why_not_ready()
        return web.Response(text=f"{reason or 'ok'}\n", status=503 if reason else 200)

    async def index(_request: web.Request) -> web.Response:
        paths = sorted({"/metrics", "/livez", "/readyz", "/healthz", *shown})
        return web.Response(text="\n".join(paths) + "\n")

    def page(make: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(_request: web.Request) -> web.Response:
            body = orjson.dumps(make(), default=str, option=orjson.OPT_INDENT_2)
            return web.Response(body=body + b"\n", content_type="application/json")

        return handle

    shown = {**pages, **({"/debug/tasks": running_tasks} if tasks else {})}
    app = web.Application(
        middlewares=[_guarded(guard, frozenset({"/livez", "/readyz", "/healthz"}))],
        client_max_size=MAX_REQUEST_BYTES,
    )
    app.router.add_get("/", index)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/livez", live)
    app.router.add_get("/healthz", live)
    app.router.add_get("/readyz", ready)
    for path, make in shown.items():
        app.router.add_get(path, page(make))
    return app


def _guarded(guard: Guard, probes: frozenset[str]) -> Any:
    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path in probes or guard.open:
            return await handler(request)
        if guard.token_file:
            if not await _has_token(request, guard.token_file):
                return web.Response(
                    status=401,
                    text="a bearer token is needed\n",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        elif not _local(request):
            return web.Response(
                status=403, text="served to this machine only; see --metrics-endpoint-auth\n"
            )
        return await handler(request)

    return check


async def _has_token(request: web.Request, file: str) -> bool:
    """Whether the request brings the token. The file is read each time: tokens rotate."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        token = await asyncio.to_thread(Path(file).read_bytes)
    except OSError as error:
        log.error("token file %s: %s", file, error.strerror)
        return False
    token = token.strip()
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token)
    return bool(token) and scheme.lower() == "bearer" and same


def _local(request: web.Request) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not peer:
        return False
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def running_tasks() -> list[dict[str, object]]:
    """Every task of this loop and where it waits, innermost frame last."""
    return [
        {
            "name": task.get_name(),
            "at": [
                f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
                for frame in task.get_stack(limit=5)
            ],
        }
        for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    ]
