"""What a table of plugins is made of: a type's parameters, how it is made, and what it may ask.

Below plugins, so that each plugin's file can say how it is wired and the catalog stays a literal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from gateway.prefix.exchange import Exchange
from gateway.scheduling.scheduler import Confidence

T = TypeVar("T")

DEFAULT_PRODUCER = "approx-prefix-cache-producer"


@dataclass(frozen=True, slots=True)
class Settings:
    """What plugins may need to know of the process they run in."""

    confidence: Confidence
    staleness: float = 2.0
    """Seconds after which a scrape is no longer believed (``--metrics-staleness-threshold``)."""
    exchange: Exchange | None = None
    """Where prefix producers hear from other workers; None if this is the only process."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A producer that a plugin needs and the configuration does not have."""

    name: str
    parameters: object


class NamesBroken(ValueError):
    """A plugin refers to one whose own problem is already told."""


class Wiring:
    """What a plugin may ask while it is made: its name, the settings, the other plugins."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        others: Mapping[str, object],
        broken: Collection[str] = (),
    ) -> None:
        """``others`` are parameters by plugin name; ``broken`` names those without any."""
        self.name = name
        self.settings = settings
        self.wanted: list[Wanted] = []
        self._others = others
        self._broken = broken

    def parameters(self, shape: type[T], named: str = "") -> T | None:
        """Parameters of the plugin ``named``, else of the first that has this ``shape``.

        Raises:
            ValueError: there is a name, but no such plugin of this shape.
        """
        if named:
            found = self._others.get(named)
            if isinstance(found, shape):
                return found
            if named in self._broken:
                raise NamesBroken(named)
            raise ValueError(f'"{named}" is not a configured plugin of the right type')
        return next((other for other in self._others.values() if isinstance(other, shape)), None)

    def prefix_producer(self, shape: type[object], named: str = "", own: object = None) -> str:
        """The name under which ``Cycle.prefixes`` will hold what a producer finds.

        The producer ``named``; without a name, one made of this plugin's ``own`` parameters; else
        the configured one, and one with default parameters if none is.

        Raises:
            ValueError: ``named`` is not a configured producer.
        """
        if named:
            # The default producer need not be written down to be referred to.
            if named != DEFAULT_PRODUCER or named in self._others:
                self.parameters(shape, named)
                return named
        elif own is not None:
            self.wanted.append(Wanted(self.name, own))
            return self.name
        configured = [name for name, other in self._others.items() if isinstance(other, shape)]
        if not named and configured and DEFAULT_PRODUCER not in configured:
            return configured[0]
        if DEFAULT_PRODUCER not in configured:
            self.wanted.append(Wanted(DEFAULT_PRODUCER, shape()))
        return DEFAULT_PRODUCER


Make: TypeAlias = Callable[[Any, Wiring], object]


def as_written(parameters: object, wiring: Wiring) -> object:
    """The plugin is its parameters: most need no more than what was written."""
    return parameters


@dataclass(frozen=True, slots=True)
class PluginType:
    """One type of plugin: the shape of its parameters, and how an instance is made of them."""

    parameters: type[Any]
    make: Make = as_written
    notice: str = ""
    """What start-up says when it is configured: deprecated, or without effect."""
    unread: frozenset[str] = frozenset()
    """Parameters that the reference's documents write and nothing reads, neither there nor here."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every plugin type there is, and why those of the reference that are missing are."""

    types: Mapping[str, PluginType]
    unbuilt: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NoParameters:
    """Parameters of a plugin that has none."""


@dataclass(frozen=True, slots=True)
class Parser:
    """A request parser; which dialect a request speaks is told by its path."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of flow control: checked, and without effect while requests are not queued."""


@dataclass(frozen=True, slots=True)
class StaticLimit(Policy):
    """``static-usage-limit-policy``."""

    threshold: float = 1.0


@dataclass(frozen=True, slots=True)
class ServedReporter:
    """``destination-endpoint-served-verifier``: tell the client who served (conformance tests)."""
