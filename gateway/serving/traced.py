"""A director that tells a tracer what happens to each request. Used only when traces are wanted.

``gateway.request`` spans the time from the pick to the end, inside the caller's trace if it sent
one; ``gateway.request_orchestration`` is the pick itself. The model server gets our traceparent.
"""

from __future__ import annotations

from dataclasses import replace

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from gateway.errors import Refusal
from gateway.extproc.conduct import Director
from gateway.request.model import Ending, Headers, InferenceRequest, Outcome, Route
from loadstar.telemetry.legible import legible
from loadstar.telemetry.tracing import Tracing

TRACE_HEADERS = ("traceparent", "tracestate")


class TracedDirector:
    """``Director`` around another one. Spans live exactly as long as tickets do."""

    def __init__(self, director: Director, tracing: Tracing) -> None:
        self._director = director
        self._tracer = tracing.tracer
        self._propagator = tracing.propagator
        self._spans: dict[int, Span] = {}

    def admit_early(self, headers: Headers, subset: tuple[str, ...] | None, now: float) -> None:
        """As the director's; a refusal is a span of its own, as no route will follow."""
        try:
            self._director.admit_early(headers, subset, now)
        except Refusal as refusal:
            span = self._tracer.start_span(
                "gateway.request",
                self._parent(headers),
                SpanKind.SERVER,
                attributes={
                    "gen_ai.request.id": legible(headers.get("x-request-id")),
                    "url.path": legible(headers.get(":path").partition("?")[0]),
                },
            )
            _refused(span, refusal)
            raise

    def route(self, request: InferenceRequest, subset: tuple[str, ...] | None, now: float) -> Route:
        """As the director's; a refusal is the span's error."""
        parent = self._parent(request.headers)
        span = self._tracer.start_span(
            "gateway.request",
            parent,
            SpanKind.SERVER,
            attributes={
                "gen_ai.request.id": legible(request.id),
                "gen_ai.request.model": legible(request.model),
                "url.path": legible(request.path.partition("?")[0]),
                "http.request.body.size": request.body_bytes,
            },
        )
        inside = set_span_in_context(span, parent)
        try:
            # What a refusal says may quote the client's bytes, so the spans carry its code alone.
            with self._tracer.start_as_current_span(
                "gateway.request_orchestration",
                inside,
                record_exception=False,
                set_status_on_exception=False,
            ) as pick:
                try:
                    route = self._director.route(request, subset, now)
                except Refusal as refusal:
                    pick.set_status(Status(StatusCode.ERROR, refusal.code))
                    raise
        except Refusal as refusal:
            _refused(span, refusal)
            raise
        span.set_attribute("server.address", route.destinations[0])
        if route.rewrite_to is not None:
            span.set_attribute("gen_ai.request.target_model", legible(route.rewrite_to))
        self._spans[route.ticket] = span
        injected: dict[str, str] = {}
        self._propagator.inject(injected, inside)
        return replace(route, request_headers=(*route.request_headers, *injected.items()))

    def responding(
        self,
        ticket: int,
        status: int | None,
        served: str | None,
        now: float,
        *,
        streamed: bool = False,
    ) -> tuple[tuple[str, str], ...]:
        """As the director's."""
        span = self._spans.get(ticket)
        if span is not None:
            if status is not None:
                span.set_attribute("http.response.status_code", status)
            if served:
                span.set_attribute("server.address", legible(served))
        return self._director.responding(ticket, status, served, now, streamed=streamed)

    def first_token(self, ticket: int, now: float) -> None:
        """As the director's."""
        span = self._spans.get(ticket)
        if span is not None:
            span.add_event("first token")
        self._director.first_token(ticket, now)

    def finish(self, ticket: int, outcome: Outcome, now: float) -> None:
        """As the director's; the span ends."""
        span = self._spans.pop(ticket, None)
        if span is not None:
            _describe(span, outcome)
            span.end()
        self._director.finish(ticket, outcome, now)

    def _parent(self, headers: Headers) -> Context:
        """The caller's trace, if it sent one."""
        carrier = {name: headers.get(name) for name in TRACE_HEADERS}
        return self._propagator.extract({name: text for name, text in carrier.items() if text})


def _refused(span: Span, refusal: Refusal) -> None:
    span.set_attribute("error.type", refusal.code)
    span.set_status(Status(StatusCode.ERROR, refusal.code))
    span.end()


def _describe(span: Span, outcome: Outcome) -> None:
    usage = outcome.usage
    for name, value in (
        ("gen_ai.usage.input_tokens", usage.input_tokens),
        ("gen_ai.usage.output_tokens", usage.output_tokens),
        ("gen_ai.usage.cached_tokens", usage.cached_tokens),
        ("http.response.body.size", outcome.response_bytes),
    ):
        if value is not None:
            span.set_attribute(name, value)
    failed = outcome.status is not None and outcome.status >= 500
    if failed or outcome.ending not in (Ending.COMPLETE, Ending.LET_GO):
        reason = f"status {outcome.status}" if failed else outcome.ending.value
        span.set_attribute("error.type", reason)
        span.set_status(Status(StatusCode.ERROR, reason))
