"""HTTP in, HTTP out: the one handler of the adapter's port. It decides nothing about metrics.

The order is that of Kubernetes' servers: probes; not more at once than allowed; who asks; whether
they may; the answer, from memory, within a deadline; and whatever happened becomes a Status, one
line of audit and a few counts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from aiohttp import web
from aiohttp.web import BaseRequest, StreamResponse

from loadstar.clock import Clock
from metrics_adapter.api import negotiate, target
from metrics_adapter.api.answer import Answer
from metrics_adapter.api.audit import Audit, Event
from metrics_adapter.api.compression import compressed
from metrics_adapter.api.connections import Connections
from metrics_adapter.api.documents import Documents, Wanted
from metrics_adapter.api.gate import Gate, Passage
from metrics_adapter.api.health import Health
from metrics_adapter.api.refusals import TOO_MANY, of, unknown_path
from metrics_adapter.api.routes import Kind, Route, is_health, route
from metrics_adapter.errors import Internal, MethodNotAllowed, Refusal, Timeout
from metrics_adapter.metrics import Metrics
from metrics_adapter.security.attributes import Attributes, attributes
from metrics_adapter.security.peer import Peer

log = logging.getLogger(__name__)

MAX_AUDIT_ID = 64
READS = ("GET", "HEAD")
HEADERS = {
    "Cache-Control": "no-cache, private",
    "X-Content-Type-Options": "nosniff",
    "Server": "loadstar",  # not which release of which library answers
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on."""

    at_once: int = 400
    deadline_seconds: float = 2.0


class Rim:
    """``handle`` is the handler; everything it needs is handed in."""

    def __init__(
        self,
        *,
        documents: Documents,
        gate: Gate,
        health: Health,
        connections: Connections,
        metrics: Metrics,
        audit: Audit,
        clock: Clock,
        rng: random.Random,
        trusts: Callable[[Peer], bool],
        limits: Limits,
    ) -> None:
        self._documents = documents
        self._gate = gate
        self._health = health
        self._connections = connections
        self._metrics = metrics
        self._audit = audit
        self._clock = clock
        self._rng = rng
        self._trusts = trusts
        self._limits = limits
        self.served = documents.served
        self.under_way = 0
        self.most_under_way = 0

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """Never raises but for a caller that went away."""
        connection = self._connections.of(id(request.protocol))
        peer = connection.peer if connection else None
        if connection is not None:
            connection.busy += 1
        try:
            if peer is not None and not self._trusts(peer):
                # It came as the CA went. Unanswered, it is sent again on a new connection, where
                # a refusal would be the end of it.
                request.protocol.force_close()
                raise asyncio.CancelledError
            return await self._answer(request, peer)
        finally:
            if connection is not None:
                connection.busy -= 1

    async def _answer(self, request: BaseRequest, peer: Peer | None) -> StreamResponse:
        began, received = self._clock.now(), self._clock.wall()
        passage = Passage()
        what: Attributes | None = None
        refused: Refusal | None = None
        try:
            asked = target.read(request.raw_path)
            if is_health(asked.segments):
                return self._probe(asked)
            if self.under_way >= self._limits.at_once:
                self._metrics.dropped()
                return self._closing(web.Response(**TOO_MANY))
            what = attributes(request.method, asked.path, asked.segments, asked.query)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                async with asyncio.timeout(self._limits.deadline_seconds):
                    answer = await self._read(request, peer, asked, what, passage)
            finally:
                self.under_way -= 1
        except Refusal as error:
            refused, answer = error, of(error, passage.details)
        except TimeoutError:
            refused = Timeout("Timeout: request did not complete within requested timeout")
            answer = of(refused, {})
        except Exception:
            log.exception("a request failed", extra={"path": request.path[:200]})
            refused = Internal("Internal error occurred: the adapter's log says more")
            answer = of(refused, {})
        return self._told(request, what, passage, refused, answer, began, received)

    async def _read(
        self,
        request: BaseRequest,
        peer: Peer | None,
        asked: target.Target,
        what: Attributes,
        passage: Passage,
    ) -> Answer:
        await self._gate.pass_through(peer, request.headers, what, passage)
        found = route(asked.segments, self._documents.served)
        if found is None:
            raise unknown_path(asked.segments)
        if request.method not in READS or what.verb == "watch":
            raise MethodNotAllowed(
                "the server does not allow this method on the requested resource"
            )
        return await self._document(found, asked, request)

    async def _document(self, found: Route, asked: target.Target, request: BaseRequest) -> Answer:
        headers = request.headers
        answer = await self._documents.get(
            found,
            asked,
            Wanted(
                accept=headers.getall("Accept", []),
                indent=negotiate.wants_indent(asked.query, headers.get("User-Agent", "")),
            ),
            self._clock.wall(),
        )
        if answer.etag and headers.get("If-None-Match", "") == answer.etag:
            return answer.unchanged()
        if found.kind is Kind.VALUES:
            self._metrics.served(found.group, answer.ages)
        return compressed(answer, headers.getall("Accept-Encoding", []))

    def _probe(self, asked: target.Target) -> web.Response:
        endpoint, only = asked.segments[0], "".join(asked.segments[1:])
        status, text = self._health.answer(
            endpoint, only, verbose="verbose" in asked.query, exclude=asked.every("exclude")
        )
        return self._closing(web.Response(status=status, text=text, headers=HEADERS))

    def _told(
        self,
        request: BaseRequest,
        what: Attributes | None,
        passage: Passage,
        refused: Refusal | None,
        answer: Answer,
        began: float,
        received: float,
    ) -> web.Response:
        about = what or Attributes(request.method.lower(), "")
        self._metrics.answered(
            about.verb,
            # What was not found, or not allowed, is any text that a caller thought of.
            (about.group, about.version, about.resource, about.subresource)
            if refused is None
            else ("", "", "", ""),
            about.scope,
            answer.status,
            self._clock.now() - began,
        )
        audit_id = self._audit_id(request)
        self._audit.tell(
            Event(
                audit_id=audit_id,
                uri=request.raw_path,
                what=what,
                user=passage.user,
                source=request.remote or "",
                agent=request.headers.get("User-Agent", ""),
                code=answer.status,
                message=refused.message if refused else "",
                decision=passage.decision,
                reason=passage.reason,
                received_at=received,
                answered_at=self._clock.wall(),
            )
        )
        response = web.Response(
            status=answer.status,
            body=answer.body,
            headers={
                **HEADERS,
                **answer.headers,
                "Content-Type": answer.content_type,
                "Audit-Id": audit_id,
            },
        )
        return self._closing(response)

    def _audit_id(self, request: BaseRequest) -> str:
        """The caller's, so that our line is found by theirs; else a new one."""
        given = request.headers.get("Audit-Id", "")
        if given and len(given) <= MAX_AUDIT_ID and given.isascii() and given.isprintable():
            return given
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def _closing(self, response: web.Response) -> web.Response:
        """Once leaving, each answer is the last on its connection: the next goes elsewhere."""
        if self._health.leaving:
            response.force_close()
        return response
