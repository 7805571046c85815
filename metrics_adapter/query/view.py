"""Everything that is known at one moment, as one immutable value; the store hands it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

from loadstar.kube.resources import Resource
from metrics_adapter.catalog import EXTERNAL, KNOWN, Catalog
from metrics_adapter.query.columns import Column, Published
from metrics_adapter.query.inventory import NOBODY_KNOWS, Inventory

MOST_LISTED: Final = 2000
"""Names in discovery: every client reads all of them, every minute."""


T = TypeVar("T", "Listed", str)


class Listed(NamedTuple):
    """One line of discovery."""

    resource: str
    namespaced: bool
    metric: str


@dataclass(frozen=True)
class View:
    """What questions are answered from. Made by the store, read by ``answer``."""

    catalog: Catalog
    published: tuple[Published, ...] = ()
    """One for each source, in the configuration's order."""
    inventory: Inventory = NOBODY_KNOWS
    staleness: float = 60.0
    """Seconds."""
    quorum: float = 0.5
    """Share of an object's pods that must be known."""

    @cached_property
    def by_metric(self) -> Mapping[tuple[str, str], tuple[Column, ...]]:
        """Resource and metric -> the columns of every source that has it."""
        merged: dict[tuple[str, str], tuple[Column, ...]] = {}
        for published in self.published:
            for key, columns in published.columns.items():
                merged[key] = (*merged.get(key, ()), *columns)
        return merged

    def with_published(self, published: tuple[Published, ...]) -> View:
        """The same with other values; with equal names what is listed is the very same."""
        fresh = replace(self, published=published)
        if fresh.by_metric.keys() == self.by_metric.keys():
            for name in ("custom_listing", "external_listing"):
                if name in self.__dict__:
                    fresh.__dict__[name] = self.__dict__[name]
        return fresh

    def columns(self, resource: str, *names: str) -> tuple[Column, ...]:
        """Those of any of ``names``, each once."""
        found: tuple[Column, ...] = ()
        for name in dict.fromkeys(names):
            found += self.by_metric.get((resource, name), ())
        return found

    def resource(self, name: str) -> Resource | None:
        """The kind that is canonically called ``name``, if it is known or a source tells of it."""
        for known in KNOWN:
            if str(known) == name:
                return known
        for (resource, _), columns in self.by_metric.items():
            if resource == name and columns:
                return columns[0].objects.resource
        return None

    @cached_property
    def custom_listing(self) -> tuple[Listed, ...]:
        """What custom.metrics.k8s.io lists: the table for every kind, and what sources add."""
        listed = {
            Listed(str(resource), resource.namespaced, name)
            for resource in KNOWN
            for name in self.catalog.metrics
        }
        more = set()
        for (resource, metric), columns in self.by_metric.items():
            if resource and columns:
                kind = columns[0].objects.resource
                more.add(Listed(resource, kind.namespaced, metric))
        return _bounded(listed, more)

    @cached_property
    def external_listing(self) -> tuple[str, ...]:
        """What external.metrics.k8s.io lists."""
        external = str(EXTERNAL)
        listed = {n for n, metric in self.catalog.metrics.items() if metric.entry.external}
        more = {metric for resource, metric in self.by_metric if resource == external}
        return _bounded(listed, more)


def _bounded(table: set[T], more: set[T]) -> tuple[T, ...]:
    """Both, sorted; of ``more`` only as much as there is room for."""
    room = max(MOST_LISTED - len(table), 0)
    return tuple(sorted(table | set(sorted(more - table)[:room])))
