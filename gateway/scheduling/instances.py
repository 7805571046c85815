"""The plugins section of a configuration, instantiated; and what references to it resolve to.

Used by ``build`` while it binds a configuration; problems are collected, never raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config.notices import Notice
from gateway.config.picker import PluginSpec
from gateway.scheduling.plugin_type import (
    DEFAULT_PRODUCER,
    Catalog,
    NamesBroken,
    PluginType,
    Settings,
    Wanted,
    Wiring,
)
from loadstar.config.errors import ConfigError, Problems, did_you_mean
from loadstar.config.load import build as build_value


@dataclass(frozen=True, slots=True)
class NamedPlugin:
    """One configured plugin and what metrics call it."""

    plugin: object
    type: str
    name: str


class Instances:
    """Plugins by name, in order."""

    def __init__(self, catalog: Catalog, settings: Settings, problems: Problems) -> None:
        self._catalog = catalog
        self._settings = settings
        self._problems = problems
        self._parameters: dict[str, object] = {}
        self._plugins: dict[str, object] = {}
        self._types: dict[str, str] = {}
        self._broken: set[str] = set()
        self.notices: list[Notice] = []

    @property
    def plugins(self) -> Mapping[str, object]:
        return self._plugins

    def known(self) -> tuple[NamedPlugin, ...]:
        """Every plugin there is, with its type and the name it goes by."""
        return tuple(
            NamedPlugin(plugin, self._types.get(name, DEFAULT_PRODUCER), name)
            for name, plugin in self._plugins.items()
        )

    @property
    def broken(self) -> bool:
        """Some plugin could not be made; that is told already."""
        return bool(self._broken)

    def add(self, specs: Sequence[PluginSpec], where: str = "plugins") -> None:
        """Read and make ``specs``, which may refer to one another in any order."""
        makers: dict[str, tuple[PluginType, str]] = {}
        for index, spec in enumerate(specs):
            path, name = f"{where}[{index}]", spec.known_as
            if name in self._parameters or name in self._broken:
                self._problems.add(f"{path}.name", f'two plugins are called "{name}"')
                continue
            plugin_type = self._type(spec.type, f"{path}.type")
            if plugin_type is None:
                self._broken.add(name)
                continue
            here = f"{path}.parameters"
            written = self._read(spec.parameters, plugin_type, here)
            try:
                self._parameters[name] = build_value(plugin_type.parameters, written, here)
            except ConfigError as error:
                self._problems.include(error)
                self._broken.add(name)
                continue
            makers[name] = (plugin_type, here)
            self._types[name] = spec.type
            if plugin_type.notice:
                self.notices.append(Notice(path, f'"{spec.type}" {plugin_type.notice}'))
        wanted: list[Wanted] = []
        for name, (plugin_type, here) in makers.items():
            wiring = Wiring(name, self._settings, self._parameters, self._broken)
            try:
                self._plugins[name] = plugin_type.make(self._parameters[name], wiring)
            except NamesBroken:
                self._broken.add(name)
            except ValueError as error:
                self._problems.add(here, str(error))
                self._broken.add(name)
            wanted += wiring.wanted
        self._add_producers(wanted)

    def default(self, plugin_type: str) -> object:
        """The plugin of that name; made with default parameters if it is not configured."""
        if plugin_type not in self._plugins and plugin_type not in self._broken:
            self.add([PluginSpec(plugin_type)], where="defaults")
        return self._plugins.get(plugin_type)

    def named(self, name: str, path: str, kinds: tuple[type, ...] = (), kind: str = "") -> Any:
        """The plugin that the reference at ``path`` names, of one of ``kinds``.

        None once it is told that there is none, or that it is no ``kind``.
        """
        found = self._plugins.get(name)
        if found is None:
            if name not in self._broken:
                known = (n for n in self._plugins if n in self._types)
                hint = did_you_mean(name, known)
                self._problems.add(path, f'no plugin is called "{name}"{hint}')
            return None
        if kinds and not isinstance(found, kinds):
            self._problems.add(path, f'"{name}" ({self._types.get(name, name)}) is not a {kind}')
            return None
        return found

    def of_kind(self, kinds: type | tuple[type, ...]) -> Iterator[tuple[str, Any]]:
        """Configured plugins of one of ``kinds``, with their names."""
        return ((n, p) for n, p in self._plugins.items() if isinstance(p, kinds))

    def _type(self, name: str, path: str) -> PluginType | None:
        found = self._catalog.types.get(name)
        if found is None:
            reason = self._catalog.unbuilt.get(name)
            if reason is not None:
                self._problems.add(path, f'"{name}" is known but not built: {reason}')
            else:
                hint = did_you_mean(name, (*self._catalog.types, *self._catalog.unbuilt))
                self._problems.add(path, f'unknown plugin type "{name}"{hint}')
        return found

    def _read(
        self, written: Mapping[str, object] | None, plugin_type: PluginType, here: str
    ) -> Mapping[str, object] | None:
        """``written`` without what the type is known to ignore, of which a notice is given."""
        ignored = plugin_type.unread.intersection(written or ())
        if written is None or not ignored:
            return written
        self.notices += [Notice(f"{here}.{key}", "has no effect") for key in sorted(ignored)]
        return {key: value for key, value in written.items() if key not in ignored}

    def _add_producers(self, wanted: Sequence[Wanted]) -> None:
        """Producers that scorers bring along; they take part, but no reference can name them."""
        producer = self._catalog.types[DEFAULT_PRODUCER]
        for want in wanted:
            key = f"{want.name} (producer)" if want.name in self._plugins else want.name
            if key not in self._plugins:
                wiring = Wiring(want.name, self._settings, self._parameters)
                self._plugins[key] = producer.make(want.parameters, wiring)
