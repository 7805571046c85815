"""Kernels are compiled before any test's loop runs, as a gateway does before it serves."""

from __future__ import annotations

import pytest

from gateway.extproc.conduct import Conductor
from gateway.extproc.session import Limits
from gateway.request.model import Ending
from loadstar.clock import SystemClock
from tests.gateway.hosting.conversation import (
    COMPLETION,
    Recorder,
    request_body,
    request_headers,
    response_body,
    response_headers,
)
from tests.grpc_fixtures import grpc_is_gone, grpc_may_lock

__all__ = ["grpc_is_gone", "grpc_may_lock"]


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    conductor = Conductor(Recorder(), SystemClock(), Limits(), lambda: "warm-up")
    for message in (
        request_headers(),
        request_body(COMPLETION),
        response_headers(),
        response_body(b'{"usage":{"prompt_tokens":1}}'),
    ):
        conductor.on(message)
    conductor.close(Ending.COMPLETE)
