"""What every test gets: no blocking calls inside an event loop, and named hypothesis profiles."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import grpc.aio
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

pytest_plugins = ["tests.controlplane.fixtures"]

# CI tries the same examples each time, so that a red run is about the change in it; what chance
# finds is looked for with HYPOTHESIS_PROFILE=thorough.
settings.register_profile("fast", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session", autouse=True)
def _a_loop_for_tests_without_one() -> Iterator[None]:
    """looptime and grpcio ask for the default loop around sync tests, and would never close it.

    grpcio's poller lives as long as anybody uses it, and who lets go last waits for its thread:
    that would be whichever test is running when a forgotten channel is collected.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    grpc.aio.init_grpc_aio()
    yield
    loop.close()


@pytest.fixture(autouse=True)
def _no_blocking_in_the_loop() -> Iterator[BlockBuster]:
    """A blocking call inside a coroutine fails the test that made it."""
    with blockbuster_ctx() as blocker:
        yield blocker
