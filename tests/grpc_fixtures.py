"""grpcio inside tests: one poller for the whole session, and the locks it cannot do without."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc.aio
import pytest
from blockbuster import BlockBuster


@pytest.fixture(scope="session", autouse=True)
def one_grpc() -> Iterator[None]:
    """grpcio's poller lives as long as anybody uses it; kept, no test's end takes it down.

    It wants a loop to begin with, and by now an earlier test may have left none.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    grpc.aio.init_grpc_aio()
    yield
    loop.close()


@pytest.fixture(autouse=True)
def grpc_may_lock(_no_blocking_in_the_loop: BlockBuster) -> None:
    """grpcio's channels and servers take a lock of its own when they are collected; a key pair is
    handed to the TLS library through a file that is memory."""
    for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock", "os.write"):
        _no_blocking_in_the_loop.functions[name].deactivate()
