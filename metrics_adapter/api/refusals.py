"""Refusals as HTTP answers: a Status document, or plain text where Kubernetes says plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from metrics_adapter.api.answer import JSON, Answer
from metrics_adapter.errors import STATUS, MethodNotAllowed, NotFound, Refusal, status_document

TOO_MANY: dict[str, Any] = {
    "status": 429,
    "text": "Too many requests, please try again later.",
    "headers": {"Retry-After": "1"},
}

ALLOW = {"Allow": "GET, HEAD"}
"""What every path that is served can be asked."""


class NoSuchPath(NotFound):
    """Not an API's path at all."""


def unknown_path(segments: Sequence[str]) -> Refusal:
    """What to say of a path that leads nowhere."""
    if segments and segments[0] == "apis":
        return NotFound("the server could not find the requested resource")
    return NoSuchPath("404 page not found")


def of(refusal: Refusal, details: Mapping[str, object]) -> Answer:
    """``refusal`` as an answer; ``details`` say what it is about, for programs."""
    if isinstance(refusal, NoSuchPath):
        return Answer(404, f"{refusal.message}\n".encode(), "text/plain; charset=utf-8")
    document = status_document(refusal)
    if details:
        document["details"] = dict(details)
    headers = ALLOW if isinstance(refusal, MethodNotAllowed) else {}
    return Answer(STATUS[type(refusal)].code, orjson.dumps(document), JSON, headers=headers)
