"""Feeds are heard over grpc here; what it leaves is collected in whichever test comes next."""

from __future__ import annotations

from tests.grpc_fixtures import grpc_is_gone, grpc_may_lock

__all__ = ["grpc_is_gone", "grpc_may_lock"]
