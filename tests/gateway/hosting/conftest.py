"""Kernels are compiled before any test's loop runs, as a gateway does before it serves."""

from __future__ import annotations

import grpc.aio
import pytest
from blockbuster import BlockBuster

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


@pytest.fixture(scope="session", autouse=True)
def _one_grpc() -> None:
    """grpcio's poller lives as long as anybody uses it; kept, no test's end takes it down."""
    grpc.aio.init_grpc_aio()


@pytest.fixture(autouse=True)
def _grpc_may_lock(_no_blocking_in_the_loop: BlockBuster) -> None:
    """grpcio's channels and servers take a lock of its own when they are collected; a key pair is
    handed to the TLS library through a file that is memory."""
    for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock", "os.write"):
        _no_blocking_in_the_loop.functions[name].deactivate()
