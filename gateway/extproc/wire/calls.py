"""The seam between the wire server and what it hosts: one gRPC call, told by whole messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from gateway.request.model import Ending


class Call(Protocol):
    """One gRPC call. Synchronous; raises nothing."""

    @property
    def done(self) -> bool:
        """The call has said all: end the stream with ``status``."""
        ...

    @property
    def status(self) -> int:
        """The gRPC status to end with; 0 is OK."""
        ...

    @property
    def may_be_let_go(self) -> bool:
        """To end the call with OK, though it has not said all, harms nobody."""
        ...

    def message(self, payload: bytes) -> Sequence[bytes]:
        """One message from the peer; the serialized answers, in order."""
        ...

    def too_large(self) -> Sequence[bytes]:
        """A message over the limit was thrown away; the answers that say so."""
        ...

    def half_closed(self) -> None:
        """The peer will send no more."""
        ...

    def close(self, ending: Ending) -> None:
        """The stream is over; called once."""
        ...


OpenCall: TypeAlias = Callable[[bytes], Call | None]
"""``:path`` -> a new call, or None for a method that is not served (UNIMPLEMENTED)."""
