"""From a question and a view of what is known to values or a refusal. Pure; the rim calls it."""

from __future__ import annotations

from metrics_adapter.query.ask import (
    ALL,
    EVERYTHING,
    CustomQuery,
    Described,
    ExternalQuery,
    Selector,
    Value,
)

__all__ = [
    "ALL",
    "EVERYTHING",
    "CustomQuery",
    "Described",
    "ExternalQuery",
    "Selector",
    "Value",
]
