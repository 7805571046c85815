"""grpcio inside tests: named by the conftest or module of whatever opens a channel or a server.

Its poller is kept for the whole session by the conftest of all tests.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster


@pytest.fixture(autouse=True)
def grpc_may_lock(_no_blocking_in_the_loop: BlockBuster) -> None:
    """grpcio's channels and servers take a lock of its own when they are collected; a key pair is
    handed to the TLS library through a file that is memory."""
    for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock", "os.write"):
        _no_blocking_in_the_loop.functions[name].deactivate()


@pytest.fixture(scope="module", autouse=True)
def grpc_is_gone() -> Iterator[None]:
    """What is left of channels and servers is collected here, outside any loop, and not in the
    middle of another module's test, which may not wait for their lock."""
    yield
    gc.collect()
