"""A refusal as the answer a client can read: status, JSON in its API's shape, and why."""

from __future__ import annotations

from gateway.errors import STATUS, Refusal
from gateway.extproc.messages import AnswerImmediately
from gateway.extproc.session.control_headers import REQUEST_ID
from gateway.request.classify import dialect_of
from gateway.request.error_body import error_body, error_headers


def status_of(refusal: Refusal) -> int:
    """The status of the nearest class of the table; what the table does not know is our fault."""
    return next((STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS), 500)


def immediate(refusal: Refusal, path: str, request_id: str) -> AnswerImmediately:
    """The ImmediateResponse for ``refusal`` of a request to ``path``."""
    headers = error_headers(refusal)
    if request_id:
        headers = (*headers, (REQUEST_ID, request_id))
    return AnswerImmediately(
        status=status_of(refusal),
        headers=headers,
        body=error_body(dialect_of(path), refusal),
        details=refusal.code,
    )
