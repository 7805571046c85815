"""What the wire server hosts: ext_proc streams by their Conductor, and health checks.

Serialized messages in and out. Called by ``server`` through the ``Call`` seam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from gateway.errors import PayloadTooLarge
from gateway.extproc.conduct import Conductor
from gateway.extproc.streams import Streams, Watcher
from gateway.extproc.wire.calls import Call, OpenCall
from gateway.request.model import Ending
from loadstar.clock import Clock

PROCESS_PATH = b"/envoy.service.ext_proc.v3.ExternalProcessor/Process"
HEALTH_PATH = b"/grpc.health.v1.Health/Check"
INVALID_ARGUMENT = 3


class ExtProcCall:
    """One ``ExternalProcessor.Process`` stream."""

    __slots__ = ("_began", "_clock", "_conductor", "_streams", "_watcher", "done", "status")

    def __init__(
        self, conductor: Conductor, streams: Streams, clock: Clock, watcher: Watcher | None
    ) -> None:
        self._conductor = conductor
        self._streams = streams
        self._clock = clock
        self._watcher = watcher
        self._began = clock.now()
        self.status = 0
        self.done = False
        streams.opened()
        if watcher is not None:
            watcher.stream_opened()

    def message(self, payload: bytes) -> Sequence[bytes]:
        try:
            answers = self._conductor.on_payload(payload)
        except DecodeError:
            self.status, self.done = INVALID_ARGUMENT, True
            return ()
        self.done = self._conductor.done
        return answers

    def too_large(self) -> Sequence[bytes]:
        refusal = PayloadTooLarge("the request body is longer than this gateway accepts")
        answers = [answer.SerializeToString() for answer in self._conductor.refuse(refusal)]
        self.done = self._conductor.done
        return answers

    @property
    def may_be_let_go(self) -> bool:
        return not self.status and self._conductor.may_be_let_go

    def half_closed(self) -> None:
        """Envoy will tell no more; ``close`` follows."""

    def close(self, ending: Ending) -> None:
        self._conductor.close(Ending.FAILED if self.status else ending)
        self._streams.closed()
        if self._watcher is not None:
            self._watcher.stream_closed(self._code(ending), self._clock.now() - self._began)

    def _code(self, ending: Ending) -> str:
        if self.status:
            return "InvalidArgument"
        return "OK" if ending is Ending.COMPLETE else "Canceled"


class HealthCall:
    """One ``Health.Check``."""

    status = 0
    may_be_let_go = False

    def __init__(self, status_of: Callable[[str], int]) -> None:
        self._status_of = status_of
        self.done = False

    def message(self, payload: bytes) -> Sequence[bytes]:
        self.done = True
        try:
            service = health_pb2.HealthCheckRequest.FromString(payload).service
        except DecodeError:
            self.status = INVALID_ARGUMENT
            return ()
        answer = health_pb2.HealthCheckResponse(status=self._status_of(service))
        return (answer.SerializeToString(),)

    def too_large(self) -> Sequence[bytes]:
        self.done, self.status = True, INVALID_ARGUMENT
        return ()

    def half_closed(self) -> None:
        """A check is one message; it was answered when it came."""

    def close(self, ending: Ending) -> None:
        """Nothing was taken."""


def calls(
    new_conductor: Callable[[], Conductor],
    streams: Streams,
    clock: Clock,
    *,
    watcher: Watcher | None = None,
    health_status: Callable[[str], int] | None = None,
) -> OpenCall:
    """What to do for a ``:path``: ext_proc streams always, health checks where wanted."""

    def open_call(path: bytes) -> Call | None:
        if path == PROCESS_PATH:
            return ExtProcCall(new_conductor(), streams, clock, watcher)
        if path == HEALTH_PATH and health_status is not None:
            return HealthCall(health_status)
        return None

    return open_call
