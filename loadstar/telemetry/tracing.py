"""OpenTelemetry traces, where the environment names a collector; otherwise nothing at all.

``OTEL_EXPORTER_OTLP_ENDPOINT`` (or its ``_TRACES_`` form) turns tracing on, and the other
``OTEL_*`` variables mean what OpenTelemetry says. The SDK is imported only then: it costs 0.2 s
of start-up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SAMPLED = 0.1
"""The reference's share of traces that begin here; a caller's decision is kept."""
FLUSH_MILLISECONDS = 3000
"""How long the last spans may take to leave when the process ends."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Starts spans, and reads and writes ``traceparent`` headers."""

    tracer: Tracer
    propagator: TextMapPropagator


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a collector, and does not switch tracing off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    return any(environment.get(name) for name in ENDPOINTS)


@contextlib.contextmanager
def tracing(service: str, environment: Mapping[str, str]) -> Iterator[Tracing | None]:
    """Traces of ``service`` while inside, sent on the way out; None where none are wanted."""
    if not wanted(environment):
        yield None
        return
    # Only here: most gateways trace nothing, and should not pay for loading it.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    named = Resource.create({} if "OTEL_SERVICE_NAME" in environment else {"service.name": service})
    ours = ParentBased(TraceIdRatioBased(_share(environment)))
    provider = TracerProvider(
        resource=named, sampler=None if "OTEL_TRACES_SAMPLER" in environment else ours
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield Tracing(provider.get_tracer("loadstar"), TraceContextTextMapPropagator())
    finally:
        provider.force_flush(FLUSH_MILLISECONDS)
        provider.shutdown()


def _share(environment: Mapping[str, str]) -> float:
    try:
        share = float(environment.get("OTEL_TRACES_SAMPLER_ARG", SAMPLED))
    except ValueError:
        return SAMPLED
    return min(1.0, max(0.0, share))
