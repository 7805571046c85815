"""What a source is: something that publishes to the store until it is cancelled."""

from __future__ import annotations

from typing import Protocol

from metrics_adapter.store import Store


class Source(Protocol):
    """Each keeps its own failures to itself: what it last told stays, and grows old."""

    @property
    def name(self) -> str: ...

    @property
    def problem(self) -> str:
        """Why it tells less than it should, for people; empty while all is well."""
        ...

    async def run(self, store: Store) -> None: ...
