"""The feed goes over grpcio."""

from tests.grpc_fixtures import grpc_is_gone, grpc_may_lock

__all__ = ["grpc_is_gone", "grpc_may_lock"]
