"""Put another model name into a request body. Called by the session once a route is known."""

from __future__ import annotations

from gateway.request.json_text import quoted


def with_model(body: bytes, span: tuple[int, int], model: str) -> bytes:
    """``body`` with the JSON string at ``span`` replaced by ``model``; no other byte changes.

    ``span`` is ``ParsedBody.model_span``: [start, end), quotes included. Never fails: what UTF-8
    cannot carry becomes a question mark, and the model server says that it knows no such model.
    """
    start, end = span
    return b"".join((body[:start], quoted(model), body[end:]))
