"""Holds one conversation with nobody, so that no client waits for a kernel to compile.

Called by ``main`` before any port is open. Compiled kernels are cached on disk: it takes seconds
once per machine and milliseconds after that.
"""

from __future__ import annotations

from gateway.extproc.conduct import Conductor
from gateway.extproc.session import Limits
from gateway.request.model import Ending, Headers, InferenceRequest, Outcome, Route
from loadstar.clock import Clock
from protos.extproc.v3 import external_processor_pb2 as pb

EXCHANGES = (
    (
        "/v1/chat/completions",
        b'{"model":"warm","stream":true,"messages":[{"role":"user","content":"once"}]}',
        "text/event-stream",
        b'data: {"model":"warmed","choices":[{"delta":{"content":"upon"}}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
        b"data: [DONE]\n\n",
    ),
    (
        "/v1/completions",
        b'{"model":"warm","prompt":"once \\u0075pon a time","max_tokens":1}',
        "application/json",
        b'{"model":"warmed","choices":[{"text":"a"}],"usage":{"prompt_tokens":1}}',
    ),
    (
        "/v1/messages",
        b'{"model":"warm","max_tokens":1,"messages":[{"role":"user","content":"once"}]}',
        "application/json",
        b'{"model":"warmed","content":[{"type":"text","text":"a"}],"usage":{"input_tokens":1}}',
    ),
)
"""Path, request body, response content type, response body."""


class _Nowhere:
    """A director that sends everything to one place and rewrites the model, so that is warm too."""

    def admit_early(self, headers: Headers, subset: tuple[str, ...] | None, now: float) -> None:
        """Everything may come."""

    def route(self, request: InferenceRequest, subset: tuple[str, ...] | None, now: float) -> Route:
        return Route(destinations=("127.0.0.1:1",), ticket=0, rewrite_to="warmed")

    def responding(
        self,
        ticket: int,
        status: int | None,
        served: str | None,
        now: float,
        *,
        streamed: bool = False,
    ) -> tuple[tuple[str, str], ...]:
        return ()

    def first_token(self, ticket: int, now: float) -> None:
        """Nobody is waiting for it."""

    def finish(self, ticket: int, outcome: Outcome, now: float) -> None:
        """Nothing was taken."""


def warm(clock: Clock) -> None:
    """Every exchange, from request headers to the end of the response."""
    for path, request, content_type, response in EXCHANGES:
        conductor = Conductor(_Nowhere(), clock, Limits(), lambda: "warm-up")
        for message in (
            pb.ProcessingRequest(
                request_headers={"headers": _headers({":path": path, ":method": "POST"})},
                protocol_config={
                    "request_body_mode": "FULL_DUPLEX_STREAMED",
                    "response_body_mode": "FULL_DUPLEX_STREAMED",
                },
            ),
            pb.ProcessingRequest(request_body={"body": request, "end_of_stream": True}),
            pb.ProcessingRequest(
                response_headers={
                    "headers": _headers({":status": "200", "content-type": content_type})
                }
            ),
            pb.ProcessingRequest(response_body={"body": response, "end_of_stream": True}),
        ):
            conductor.on(message)
        conductor.close(Ending.COMPLETE)


def _headers(values: dict[str, str]) -> dict[str, list[dict[str, object]]]:
    return {"headers": [{"key": key, "raw_value": text.encode()} for key, text in values.items()]}
