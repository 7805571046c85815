"""What the operator's configuration decides about a request, behind one reference.

The director asks for the policy once per request and keeps it for that request's life, so that a
configuration can be swapped under load: old requests end under the rules they began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.config.picker import ResponseProcessing
from gateway.datalayer.state import Endpoint
from gateway.scheduling.types import Cycle, Decision, SaturationDetector


class Scheduler(Protocol):
    """Chooses among candidates, and is told what became of its choices."""

    def schedule(self, cycle: Cycle, endpoints: tuple[Endpoint, ...]) -> Decision:
        """The endpoints to use, best first. Takes nothing and remembers nothing yet.

        Raises:
            NothingFits: the filters dropped every candidate.
        """
        ...

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        """``decision`` is being carried out: plugins may learn from it."""
        ...

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        """Another endpoint than the first pick served the request."""
        ...

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        """What plugins add to the client's response from ``endpoint``."""
        ...


class Policy(Protocol):
    """One loaded configuration, ready to use (``gateway.scheduling.build.Built`` is one)."""

    @property
    def scheduler(self) -> Scheduler: ...

    @property
    def saturation(self) -> SaturationDetector: ...

    @property
    def response_processing(self) -> ResponseProcessing: ...
