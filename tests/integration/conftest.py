"""The fleet asks the gateway's health over grpcio."""

from tests.grpc_fixtures import grpc_may_lock, one_grpc

__all__ = ["grpc_may_lock", "one_grpc"]
