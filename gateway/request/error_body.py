"""A refusal in the words of the API the client speaks: JSON body and headers.

Called by the session for every ImmediateResponse; the status itself is ``errors.STATUS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import orjson

from gateway.errors import DROPPED_REASON_HEADER, STATUS, BadRequest, Refusal
from gateway.request.json_text import well_formed
from gateway.request.model import Dialect


@dataclass(frozen=True, slots=True)
class _Words:
    """What the two families of APIs call an error of one status."""

    openai: str
    anthropic: str


_OUR_FAULT = _Words("server_error", "api_error")
_WORDS: Mapping[int, _Words] = MappingProxyType(
    {
        400: _Words("invalid_request_error", "invalid_request_error"),
        413: _Words("invalid_request_error", "request_too_large"),
        429: _Words("rate_limit_error", "rate_limit_error"),
        503: _Words("service_unavailable", "overloaded_error"),
        500: _OUR_FAULT,
    }
)


def error_body(dialect: Dialect, refusal: Refusal) -> bytes:
    """The JSON body that tells ``refusal`` to a client of ``dialect``; OpenAI's if it is OPAQUE."""
    words = _WORDS.get(STATUS.get(type(refusal), 500), _OUR_FAULT)
    message = well_formed(refusal.message)
    if dialect is Dialect.ANTHROPIC:
        error = {"type": words.anthropic, "message": message}
        return orjson.dumps({"type": "error", "error": error})
    param = refusal.param if isinstance(refusal, BadRequest) else None
    return orjson.dumps(
        {
            "error": {
                "message": message,
                "type": words.openai,
                "param": None if param is None else well_formed(param),
                "code": refusal.code,
            }
        }
    )


def error_headers(refusal: Refusal) -> tuple[tuple[str, str], ...]:
    """Headers of the answer: the body's type, why it was dropped, when to come back."""
    headers = [("content-type", "application/json")]
    if refusal.dropped_reason is not None:
        headers.append((DROPPED_REASON_HEADER, refusal.dropped_reason))
    if refusal.retry_after_seconds is not None:
        headers.append(("retry-after", str(refusal.retry_after_seconds)))
    return tuple(headers)
