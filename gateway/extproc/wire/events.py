"""What a connection tells its host. Everything else it settles with the peer by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway.extproc.wire.headers import RequestHead


@dataclass(slots=True)
class Opened:
    """A request's headers have come; ``grpc`` says whether messages will follow."""

    stream_id: int
    head: RequestHead
    grpc: bool


@dataclass(slots=True)
class Received:
    """One whole gRPC message."""

    stream_id: int
    payload: bytes


@dataclass(slots=True)
class TooLarge:
    """A message is longer than the limit, or the connection holds too much; nothing was kept."""

    stream_id: int


@dataclass(slots=True)
class HalfClosed:
    """The peer will send no more on this stream."""

    stream_id: int


@dataclass(slots=True)
class Gone:
    """The stream has ended without our doing: reset by the peer, deadline, or broken rules."""

    stream_id: int
    reason: str


WireEvent: TypeAlias = Opened | Received | TooLarge | HalfClosed | Gone
