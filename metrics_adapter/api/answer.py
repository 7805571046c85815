"""An HTTP answer as a value, before any server knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and what goes with them."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ages: Sequence[float] = ()
    """How old each value in it is, in seconds."""

    @property
    def etag(self) -> str:
        return self.headers.get("ETag", "")

    def unchanged(self) -> Answer:
        """What to say to who has it already."""
        return replace(self, status=304, body=b"")
