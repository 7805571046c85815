"""Spans reach a collector: the real exporter, in a gateway started the usual way."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tests.gateway.hosting.conversation import (
    COMPLETION,
    connected,
    process,
    request_body,
    request_headers,
    response_body,
    response_headers,
)
from tests.gateway.hosting.test_process import DESTINATIONS, gateway

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def overwritten() -> bool:
    """Whether this .venv still has the package that lays its files over OpenTelemetry's."""
    try:
        importlib.metadata.distribution("xds-protos")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(60),
    pytest.mark.skipif(overwritten(), reason="xds-protos is in this .venv: make clean setup"),
]


@contextlib.asynccontextmanager
async def collector(exports: list[bytes]) -> AsyncIterator[int]:
    """An OTLP collector that keeps what it is sent; its port."""

    async def export(request: bytes, context: Any) -> bytes:
        exports.append(request)
        return b""  # an ExportTraceServiceResponse that says nothing

    class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            if details.method != EXPORT:
                return None
            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Service(),))
    port = int(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_a_request_becomes_a_span_at_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    exports: list[bytes] = []
    async with collector(exports) as port:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
        async with gateway(tmp_path, "--secure-serving=false") as running:
            async with connected(await running.port("grpc")) as channel:
                stream = process(channel)
                await stream.write(request_headers())
                await stream.write(request_body(COMPLETION))
                await stream.read()
                await stream.read()
                await stream.write(response_headers())
                await stream.read()
                await stream.write(response_body(b'{"usage":{"prompt_tokens":3}}'))
                await stream.read()
                await stream.done_writing()
                assert await stream.code() == grpc.StatusCode.OK
            running.child.send_signal(signal.SIGTERM)
            # The gateway is read to its end, for the last spans leave on its way out.
            async with asyncio.timeout(20):
                assert await running.child.wait() == 0
    resources = [
        resource
        for export in exports
        for resource in ExportTraceServiceRequest.FromString(export).resource_spans
    ]
    services = {
        attribute.value.string_value
        for resource in resources
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
    }
    spans = {
        span.name: span
        for resource in resources
        for scope in resource.scope_spans
        for span in scope.spans
    }
    said = {
        attribute.key: attribute.value.string_value or attribute.value.int_value
        for attribute in spans["gateway.request"].attributes
    }
    assert len(services) == 1
    assert spans.keys() == {"gateway.request", "gateway.request_orchestration"}
    assert said.pop("server.address") in DESTINATIONS
    assert said["url.path"] == "/v1/completions"
    assert said["http.response.status_code"] == 200
    assert said["gen_ai.usage.input_tokens"] == 3
