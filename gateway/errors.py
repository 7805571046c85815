"""Every way the gateway refuses a request, named for what the client should do next.

    Refusal
    +-- BadRequest          400  mend the request
    +-- PayloadTooLarge     413  send less
    +-- NoEndpoint          503  nothing to send it to: empty pool, empty or unmatched subset
    +-- NothingFits         429  endpoints exist, every filter dropped them; try later
    +-- Shed                429  saturated and the request is sheddable
    +-- Denied              429  an admission rule said no
    +-- NoRoom              503  long bodies take the memory there is for them; try again
    +-- ShuttingDown        503  this gateway is draining
    +-- Broken              500  our fault

A refusal always becomes an ImmediateResponse. A gRPC error would be let through by a gateway
that fails open, so a refusal is never one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

DROPPED_REASON_HEADER = "x-llm-d-request-dropped-reason"


class Refusal(Exception):
    """A request that will not be routed, with the words that go to the client.

    ``message`` is for a person; ``code`` is the stable word in the error body; ``dropped_reason``
    (if any) goes into the ``x-llm-d-request-dropped-reason`` header.
    """

    code: ClassVar[str] = "internal_error"
    dropped_reason: ClassVar[str | None] = None
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(Refusal):
    """The request cannot be understood; ``message`` names the place and the mend."""

    code: ClassVar[str] = "invalid_request"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class PayloadTooLarge(Refusal):
    """The body is longer than ``--max-body-bytes``."""

    code: ClassVar[str] = "request_too_large"


class NoEndpoint(Refusal):
    """No ready endpoint: the pool is empty, or the subset hint is empty or matches none."""

    code: ClassVar[str] = "no_endpoint"
    dropped_reason: ClassVar[str | None] = "rejected-no-endpoints"
    retry_after_seconds: ClassVar[int | None] = 1


class NothingFits(Refusal):
    """There are endpoints, but the profile's filters dropped every one."""

    code: ClassVar[str] = "no_capacity"
    dropped_reason: ClassVar[str | None] = "rejected-saturated"
    retry_after_seconds: ClassVar[int | None] = 1


class Shed(Refusal):
    """The pool is saturated and the request's priority is negative."""

    code: ClassVar[str] = "shed"
    dropped_reason: ClassVar[str | None] = "rejected-saturated"
    retry_after_seconds: ClassVar[int | None] = 1


class Denied(Refusal):
    """An admission plugin refused the request."""

    code: ClassVar[str] = "denied"
    dropped_reason: ClassVar[str | None] = "rejected-saturated"
    retry_after_seconds: ClassVar[int | None] = 1


class NoRoom(Refusal):
    """Long bodies on their way to this gateway take all the memory it has for them."""

    code: ClassVar[str] = "no_room"
    dropped_reason: ClassVar[str | None] = "rejected-saturated"
    retry_after_seconds: ClassVar[int | None] = 1


class ShuttingDown(Refusal):
    """The gateway is draining and takes no new requests."""

    code: ClassVar[str] = "shutting_down"
    dropped_reason: ClassVar[str | None] = "rejected-shutting-down"
    retry_after_seconds: ClassVar[int | None] = 1


class Broken(Refusal):
    """Something in the gateway failed; the log has the details, the client has the request id."""


STATUS: Mapping[type[Refusal], int] = MappingProxyType(
    {
        BadRequest: 400,
        PayloadTooLarge: 413,
        NoEndpoint: 503,
        NothingFits: 429,
        Shed: 429,
        Denied: 429,
        NoRoom: 503,
        ShuttingDown: 503,
        Broken: 500,
    }
)
