"""``@record``: a frozen dataclass to the type checker, at the price of a plain one at run time.

Python sets each field of a frozen dataclass through a call, four times as dear as an assignment; a
routed request makes some thirty values of a hundred fields. Who changes a value is told by mypy
before it runs; at run time nothing stops it. For values made once per request or message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """``cls`` with slots, compared and hashed by its fields."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
