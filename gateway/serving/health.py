"""gRPC health v1: whether this process should be sent streams, told to kubelets and to proxies.

Service names are the reference's. ``liveness`` serves as soon as the process is up, also while it
drains, so that it is not restarted for finishing its work; every other name serves only when the
endpoints are loaded and it is not draining. The reference leaves ``Watch`` unimplemented.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from gateway.extproc.grpcio import SERVICE

LIVENESS = "liveness"
NAMES = ("", LIVENESS, "readiness", SERVICE, "inference-extension")
MAX_CALLS = 1000
"""Concurrent calls of the health port, watchers included."""
LOOK_SECONDS = 0.25
"""How often a watcher looks again."""


class Readiness:
    """Whether requests are welcome: warmed up, endpoints loaded, not draining."""

    def __init__(
        self,
        synced: Callable[[], bool],
        served: Callable[[], bool] = lambda: True,
        missing: Callable[[], str] = lambda: "",
    ) -> None:
        """``served`` says whether somebody takes connections, where that is not this process.

        ``missing`` says why there is no pool, and nothing where there is one.
        """
        self._synced = synced
        self._served = served
        self._missing = missing
        self.started = False
        """Set once the process is warm and its ports are open."""
        self.draining = False

    @property
    def ready(self) -> bool:
        return not self.why_not()

    def why_not(self) -> str:
        """One reason not to be ready; empty when ready."""
        if self.draining:
            return "draining"
        if not self.started:
            return "starting"
        if not self._synced():
            return "no endpoints loaded yet"
        if missing := self._missing():
            return missing
        return "" if self._served() else "no worker is serving"


class Health:
    """The ``grpc.health.v1.Health`` service over a ``Readiness``."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def status(self, service: str) -> int:
        """SERVING or NOT_SERVING; a name nobody knows answers as readiness does."""
        serving = service == LIVENESS or self._readiness.ready
        answer = pb.HealthCheckResponse.SERVING if serving else pb.HealthCheckResponse.NOT_SERVING
        return int(answer)

    async def Check(self, request: Any, _context: object) -> Any:
        return pb.HealthCheckResponse(status=self.status(request.service))

    async def List(self, _request: object, _context: object) -> Any:
        statuses = {name: pb.HealthCheckResponse(status=self.status(name)) for name in NAMES}
        return pb.HealthListResponse(statuses=statuses)

    async def Watch(self, request: Any, _context: object) -> AsyncIterator[Any]:
        """The status now and whenever it changes, until the watcher or the server goes."""
        told = None
        while True:
            status = self.status(request.service)
            if status != told:
                told = status
                yield pb.HealthCheckResponse(status=status)
            await asyncio.sleep(LOOK_SECONDS)


def add_health(server: grpc.aio.Server, health: Health) -> None:
    """Serve ``health`` on ``server`` too."""
    health_pb2_grpc.add_HealthServicer_to_server(health, server)


def health_server(health: Health) -> grpc.aio.Server:
    """A server of nothing but ``health``, without a port yet."""
    server = grpc.aio.server(maximum_concurrent_rpcs=MAX_CALLS, options=[("grpc.so_reuseport", 0)])
    add_health(server, health)
    return server
