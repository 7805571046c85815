"""The publisher's end of SignalFeed: a gRPC server that streams the latest snapshot. IO.

A snapshot is made only while somebody listens, and encoded once for all who do.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc

from loadstar.feed.latest import Latest
from loadstar.signals.codec import SERVICE, WATCH, encode
from loadstar.signals.codec import subscriber as who_asks
from loadstar.signals.model import Snapshot

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 1.0
MAX_SUBSCRIBERS: Final = 256
_BEARER: Final = "bearer "
_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a second listener
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 64 << 10),
)


class CannotPublish(Exception):
    """The port cannot be had."""


class Publisher:
    """Serves SignalFeed on one port. ``start``, ``run`` beside it, ``stop``."""

    def __init__(
        self,
        snapshot: Callable[[], Awaitable[Snapshot]],
        *,
        token: Callable[[], str] = lambda: "",
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        """``snapshot`` says what is so now. A ``token`` that is not empty must be presented."""
        self._snapshot = snapshot
        self._token = token
        self._every_seconds = every_seconds
        self._latest: Latest[bytes] = Latest()
        self._wanted = asyncio.Event()
        self._server: Any = None

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return self._latest.watchers

    async def start(self, host: str, port: int, credentials: Any = None) -> int:
        """Listen; the port it is. ``credentials`` are grpc's, None is plaintext."""
        self._server = grpc.aio.server(options=_OPTIONS)
        watch = grpc.unary_stream_rpc_method_handler(self._watch)
        handlers = grpc.method_handlers_generic_handler(SERVICE, {WATCH: watch})
        self._server.add_generic_rpc_handlers((handlers,))
        address = f"{_host(host)}:{port}"
        try:
            if credentials is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise CannotPublish(f"cannot listen on {address}: {error}") from None
        await self._server.start()
        return int(bound)

    async def run(self) -> None:
        """Publish once a second while somebody listens, until cancelled."""
        while True:
            await self._wanted.wait()
            if not self._latest.watchers:
                self._wanted.clear()
                continue
            try:
                self._latest.set(encode(await self._snapshot()))
            except Exception:
                log.exception("a snapshot of the signals failed; the next may not")
            await asyncio.sleep(self._every_seconds)

    async def stop(self, grace_seconds: float = 0.0) -> None:
        """Stop listening, and end every stream."""
        if self._server is not None:
            await self._server.stop(grace_seconds)

    async def _watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        await self._admit(context)
        name = who_asks(request)
        latest = self._latest
        latest.watchers += 1
        self._wanted.set()
        log.info("signals: a subscriber came", extra={"subscriber": name[:200]})
        version = 0
        try:
            while True:
                text, version = await latest.after(version)
                yield text
        finally:
            latest.watchers -= 1
            log.info("signals: a subscriber left", extra={"subscriber": name[:200]})

    async def _admit(self, context: Any) -> None:
        if self._latest.watchers >= MAX_SUBSCRIBERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many subscribers")
        expected = self._token()
        if not expected:
            return
        metadata = dict(context.invocation_metadata() or ())
        given = str(metadata.get("authorization", ""))
        right = given[: len(_BEARER)].lower() == _BEARER and hmac.compare_digest(
            given[len(_BEARER) :].encode(), expected.encode()
        )
        if not right:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not the right one")


def _host(host: str) -> str:
    """As grpc wants an address; empty is every one, of IPv6 too."""
    bare = host.strip("[]") or "::"
    return f"[{bare}]" if ":" in bare else bare
