"""The store: what every source last published, handed out as one immutable view.

One writer for each source, all on the event loop's thread; readers take ``view()`` and keep it for
one answer. Bounded: a source that would publish more than its share is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from metrics_adapter.adapter_config import AdapterConfig
from metrics_adapter.catalog import Catalog, catalog
from metrics_adapter.query import Inventory, Published, View

MOST_ROWS: Final = 500_000
"""Of one source: five times 5,000 pods with 20 metrics, 14 MB."""


class TooMuch(Exception):
    """A source told more than is kept; what it last told stays."""


class Slot:
    """Where one source publishes; it knows no other."""

    def __init__(self, name: str, changed: Callable[[], None]) -> None:
        self.name = name
        self.published = Published()
        self.published_at = -float("inf")
        """Clock.wall() of the last time."""
        self._changed = changed

    def publish(self, published: Published, now: float) -> None:
        """Take the place of what was published before. Raises TooMuch."""
        rows = sum(
            len(column.value) for columns in published.columns.values() for column in columns
        )
        if rows > MOST_ROWS:
            raise TooMuch(f"{self.name}: {rows} series are more than the {MOST_ROWS} kept")
        self.published, self.published_at = published, now
        self._changed()


class Store:
    """What is known, by source, and how it is to be read."""

    def __init__(self, config: AdapterConfig) -> None:
        """Raises ConfigError."""
        self._slots: list[Slot] = []
        self._view = View(catalog(config), (), staleness=config.staleness, quorum=config.quorum)
        self._stale = False

    def view(self) -> View:
        """Everything as it is now; asking twice without a change gives the same object."""
        if self._stale:
            self._stale = False
            published = tuple(slot.published for slot in self._slots)
            self._view = self._view.with_published(published)
        return self._view

    @property
    def catalog(self) -> Catalog:
        """The table of metrics in force."""
        return self._view.catalog

    @property
    def slots(self) -> Sequence[Slot]:
        """One for each source, in the configuration's order."""
        return self._slots

    @contextmanager
    def slot(self, name: str) -> Iterator[Slot]:
        """A place to publish to, for as long as the source runs."""
        slot = Slot(name, self._change)
        self._slots.append(slot)
        try:
            yield slot
        finally:
            self._slots.remove(slot)
            self._change()

    def know(self, inventory: Inventory) -> None:
        """These objects exist."""
        self._view = replace(self._view, inventory=inventory)

    def reconfigure(self, config: AdapterConfig) -> None:
        """Read what is known by another table. Raises ConfigError, and changes nothing.

        Sources are not the store's: ``sources.Sources`` replaces them.
        """
        self._view = replace(
            self._view,
            catalog=catalog(config),
            staleness=config.staleness,
            quorum=config.quorum,
        )

    def _change(self) -> None:
        self._stale = True
