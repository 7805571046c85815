"""From a question and a view of what is known to values or a refusal. Pure; the rim calls it."""

from __future__ import annotations

from metrics_adapter.query.answer import answer
from metrics_adapter.query.ask import ALL, CustomQuery, Described, ExternalQuery, Value
from metrics_adapter.query.columns import Column, Published, Row, column
from metrics_adapter.query.inventory import Group, Inventory, Pod
from metrics_adapter.query.view import Listed, View

__all__ = [
    "ALL",
    "Column",
    "CustomQuery",
    "Described",
    "ExternalQuery",
    "Group",
    "Inventory",
    "Listed",
    "Pod",
    "Published",
    "Row",
    "Value",
    "View",
    "answer",
    "column",
]
