"""Which field of a response's JSON holds a whole response, besides the top itself.

Streams of two APIs wrap it: ``{"type": "response.completed", "response": {...}}`` and
``{"type": "message_start", "message": {...}}``. ``usage`` and ``rename`` look there too.
"""

from __future__ import annotations

from gateway.request.model import Dialect

_CARRIER = {Dialect.RESPONSES: "response", Dialect.ANTHROPIC: "message"}


def carrier_of(dialect: Dialect) -> str:
    """The field's name; "" where the response always stands at the top."""
    return _CARRIER.get(dialect, "")
