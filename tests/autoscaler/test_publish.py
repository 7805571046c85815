"""What is wanted is published for as long as the service runs, and takes nothing down with it."""

from __future__ import annotations

import pytest

from autoscaler.publish import Wishes, publishing
from loadstar.config.errors import ConfigError
from tests.fakes.clock import ManualClock
from tests.grpc_fixtures import grpc_is_gone, grpc_may_lock

__all__ = ["grpc_is_gone", "grpc_may_lock"]


async def test_a_policy_that_is_wrong_at_the_start_is_told_as_without_subscribers() -> None:
    """Wrapped in a group it was a traceback and exit status 1, where 2 says what to mend."""
    clock = ManualClock()
    served = publishing(Wishes(clock), clock, host="127.0.0.1", port=0, cert_dir="", token_file="")
    with pytest.raises(ConfigError, match="models: is required"):
        async with served:
            raise ConfigError.of("models", "is required")
