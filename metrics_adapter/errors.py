"""Every refusal of the adapter, named for what the caller does next, and its metav1.Status.

Raised by whatever parses and answers; the HTTP rim turns them into documents with
``status_document``. The message reaches a person through ``kubectl describe hpa``, so it says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class Refusal(Exception):
    """A request that gets a Status instead of values."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(Refusal):
    """The request itself is wrong; asking again will not help."""


class Unauthorized(Refusal):
    """Who asks could not be told, though something was presented."""


class Forbidden(Refusal):
    """Who asks is known, and may not."""


class NotFound(Refusal):
    """There is no such metric, object or series."""


class Stale(NotFound):
    """There was one, and what is known of it is too old: an HPA that hears this holds."""


class MethodNotAllowed(Refusal):
    """The path is known, the method is not for it."""


class NotAcceptable(Refusal):
    """None of the media types asked for is served."""


class TooManyRequests(Refusal):
    """More at once than is allowed here; try again."""


class Internal(Refusal):
    """Ours to mend; the message tells no details."""


class Unavailable(Refusal):
    """Not ready yet, or no longer."""


class Timeout(Refusal):
    """The answer took longer than we let it."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How a refusal is said: HTTP status and the Status document's reason."""

    code: int
    reason: str


STATUS: Mapping[type[Refusal], Wire] = MappingProxyType(
    {
        BadRequest: Wire(400, "BadRequest"),
        Unauthorized: Wire(401, "Unauthorized"),
        Forbidden: Wire(403, "Forbidden"),
        NotFound: Wire(404, "NotFound"),
        Stale: Wire(404, "NotFound"),
        MethodNotAllowed: Wire(405, "MethodNotAllowed"),
        NotAcceptable: Wire(406, "NotAcceptable"),
        TooManyRequests: Wire(429, "TooManyRequests"),
        Internal: Wire(500, "InternalError"),
        Unavailable: Wire(503, "ServiceUnavailable"),
        Timeout: Wire(504, "Timeout"),
    }
)


def status_document(refusal: Refusal) -> dict[str, object]:
    """``refusal`` as a metav1.Status of kind Failure."""
    wire = STATUS[type(refusal)]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": refusal.message,
        "reason": wire.reason,
        "code": wire.code,
    }
