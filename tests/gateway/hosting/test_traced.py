"""Traces: a request is one span inside its caller's trace, and the model server gets ours."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.errors import NoEndpoint, Shed
from gateway.request.model import Ending, Headers, InferenceRequest, Outcome, Route, Usage
from gateway.serving.traced import TracedDirector
from loadstar.telemetry.tracing import Tracing, tracing, wanted
from tests.gateway.hosting.conversation import Recorder

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Spans:
    """A traced director, and the spans that have ended."""

    def __init__(self, director: Recorder) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        traced = Tracing(provider.get_tracer("test"), TraceContextTextMapPropagator())
        self.director = TracedDirector(director, traced)

    def named(self, name: str) -> ReadableSpan:
        return next(span for span in self._exporter.get_finished_spans() if span.name == name)

    def __len__(self) -> int:
        return len(self._exporter.get_finished_spans())


def request(**headers: str) -> InferenceRequest:
    return InferenceRequest("r-1", "/v1/completions?x=secret", Headers(headers.items()), None, 12)


def test_a_request_joins_its_callers_trace_and_hands_it_on() -> None:
    spans = Spans(Recorder())
    director = spans.director
    route = director.route(request(traceparent=f"00-{TRACE}-{PARENT}-01"), None, 0.0)
    director.responding(route.ticket, 200, "10.0.0.2:8000", 1.0)
    director.first_token(route.ticket, 2.0)
    usage = Usage(input_tokens=3, output_tokens=4)
    director.finish(route.ticket, Outcome(Ending.COMPLETE, 200, usage, response_bytes=9), 3.0)
    span, pick = spans.named("gateway.request"), spans.named("gateway.request_orchestration")
    assert span.context is not None
    assert span.parent is not None
    assert pick.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert pick.parent.span_id == span.context.span_id
    assert dict(route.request_headers) == {
        "traceparent": f"00-{TRACE}-{span.context.span_id:016x}-01"
    }
    assert dict(span.attributes or {}) == {
        "gen_ai.request.id": "r-1",
        "gen_ai.request.model": "",
        "url.path": "/v1/completions",
        "http.request.body.size": 12,
        "server.address": "10.0.0.2:8000",
        "http.response.status_code": 200,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
        "http.response.body.size": 9,
    }
    assert [event.name for event in span.events] == ["first token"]
    assert span.status.is_ok


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        pytest.param(Outcome(Ending.CLIENT_GONE, None), "client-gone", id="client gone"),
        pytest.param(Outcome(Ending.COMPLETE, 503), "status 503", id="upstream error"),
    ],
)
def test_what_went_wrong_is_the_spans_error(outcome: Outcome, reason: str) -> None:
    spans = Spans(Recorder())
    route = spans.director.route(request(), None, 0.0)
    spans.director.finish(route.ticket, outcome, 1.0)
    span = spans.named("gateway.request")
    assert span.status.description == reason
    assert (span.attributes or {})["error.type"] == reason


def test_a_refusal_ends_the_span() -> None:
    spans = Spans(Recorder(refuses=True))
    with pytest.raises(NoEndpoint):
        spans.director.route(request(), None, 0.0)
    assert spans.named("gateway.request").status.description == "no_endpoint"


class Full(Recorder):
    """A pool to which nobody's body may come."""

    def admit_early(self, headers: Headers, subset: tuple[str, ...] | None, now: float) -> None:
        raise Shed("no room")


def test_a_refusal_on_headers_alone_is_a_span_of_its_own() -> None:
    spans = Spans(Full())
    headers = request(
        traceparent=f"00-{TRACE}-{PARENT}-01", **{":path": "/v1/completions?x=secret"}
    ).headers
    with pytest.raises(Shed):
        spans.director.admit_early(headers, None, 0.0)
    span = spans.named("gateway.request")
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert (span.attributes or {})["url.path"] == "/v1/completions"
    assert span.status.description == "shed"


class Quoting(Recorder):
    """Refuses, in words that quote the request."""

    def route(self, request: InferenceRequest, subset: tuple[str, ...] | None, now: float) -> Route:
        raise NoEndpoint(f"nothing serves {request.id}")


def test_bytes_that_are_no_utf8_do_not_cost_the_span() -> None:
    """An exporter sends UTF-8: one text that is not would lose the whole batch."""
    odd = InferenceRequest("r-\udcff", "/v1/\udcfe", Headers(()), None, 1)
    spans = Spans(Quoting())
    with pytest.raises(NoEndpoint):
        spans.director.route(odd, None, 0.0)
    early = Spans(Full())
    sent = Headers([("x-request-id", "r-\udcff"), (":path", "/v1/\udcfe")])
    with pytest.raises(Shed):
        early.director.admit_early(sent, None, 0.0)
    for span in (spans.named("gateway.request"), early.named("gateway.request")):
        attributes = span.attributes or {}
        assert (attributes["gen_ai.request.id"], attributes["url.path"]) == ("r-\\xff", "/v1/\\xfe")
        span.to_json().encode()
    pick = spans.named("gateway.request_orchestration")
    assert (pick.status.description, pick.events) == ("no_endpoint", ())


def test_who_may_send_a_body_leaves_no_span_yet() -> None:
    spans = Spans(Recorder())
    spans.director.admit_early(request().headers, None, 0.0)
    assert len(spans) == 0


def test_a_response_let_go_is_no_error() -> None:
    spans = Spans(Recorder())
    route = spans.director.route(request(), None, 0.0)
    spans.director.finish(route.ticket, Outcome(Ending.LET_GO, 200), 1.0)
    assert spans.named("gateway.request").status.is_unset


def test_a_ticket_that_is_not_known_changes_nothing() -> None:
    spans = Spans(Recorder())
    spans.director.finish(99, Outcome(Ending.COMPLETE, 200), 0.0)
    assert len(spans) == 0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, False, id="nothing said"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, True, id="a collector"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, True, id="for traces"
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "true"},
            False,
            id="switched off",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"},
            False,
            id="no exporter",
        ),
    ],
)
def test_traces_are_sent_only_where_a_collector_is_named(
    environment: dict[str, str], expected: bool
) -> None:
    assert wanted(environment) is expected


def test_without_a_collector_there_is_no_tracing() -> None:
    with tracing("gateway", {}) as traces:
        assert traces is None
