"""What the API server refuses, named for what the caller does next; from its Status documents.

Everything a call can raise is an ``ApiError``: an answer of the server, or ``Unreachable`` when
there was none. Messages are the server's own words; they hold no credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

MAX_MESSAGE = 2000
"""Characters kept of what a server, or whatever stands in its place, says."""


class ApiError(Exception):
    """The call did not succeed."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 without an answer."""
        self.reason = reason
        """The server's word for it: ``NotFound``, ``Conflict``."""
        self.retry_after = retry_after
        """Seconds the server asks to wait."""
        self.details: Mapping[str, Any] = details or {}


class Unreachable(ApiError):
    """No answer: refused, reset, timed out or cut off. Whether it took effect is unknown."""


class BadRequest(ApiError):
    """400: the call itself is wrong; the same again fails again."""


class Unauthorized(ApiError):
    """401: the server does not know who calls."""


class Forbidden(ApiError):
    """403: RBAC does not allow it."""


class NotFound(ApiError):
    """404: there is no such object, or no such kind."""


class Conflict(ApiError):
    """409: somebody else has written in between; read again."""


class AlreadyExists(Conflict):
    """409: what was to be created is there."""


class Gone(ApiError):
    """410: the resource version is too old; list again."""


class Invalid(ApiError):
    """422: the server's validation refuses the object."""


class TooManyRequests(ApiError):
    """429: later, after ``retry_after``."""


class ServerError(ApiError):
    """5xx: the server's own trouble; later."""


class ServerTimeout(ServerError):
    """504: the server gave up, also on a resource version from its future."""


_BY_STATUS: Mapping[int, type[ApiError]] = MappingProxyType(
    {
        400: BadRequest,
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: Gone,
        422: Invalid,
        429: TooManyRequests,
        504: ServerTimeout,
    }
)
_BY_REASON: Mapping[str, type[ApiError]] = MappingProxyType(
    {"AlreadyExists": AlreadyExists, "Expired": Gone, "Gone": Gone}
)


def from_status(
    document: object, *, status: int = 0, retry_after: float | None = None, text: str = ""
) -> ApiError:
    """The error of a Status document (of an answer, or of a watch's ERROR event).

    ``status`` and ``text`` stand in where ``document`` is none: what a proxy said, for example.
    """
    said: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
    code = said.get("code")
    status = code if isinstance(code, int) and 100 <= code <= 599 else status
    reason = str(said.get("reason") or "")
    details = said.get("details")
    details = details if isinstance(details, Mapping) else {}
    asked = details.get("retryAfterSeconds")
    if retry_after is None and isinstance(asked, int | float) and asked > 0:
        retry_after = float(asked)
    message = str(said.get("message") or text or f"status {status}")[:MAX_MESSAGE]
    kind = _BY_REASON.get(reason) or _BY_STATUS.get(status)
    if kind is None:
        kind = ServerError if status >= 500 else ApiError
    return kind(message, status=status, reason=reason, retry_after=retry_after, details=details)
