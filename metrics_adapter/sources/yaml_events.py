"""YAML as a stream of events -> mappings, lists and text: no tree of nodes, no guessed types. Pure.

For files whose every scalar is text to who reads it; of 20,000 rows it makes the tree that a YAML
library would make in five times the time.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import yaml

from loadstar.config.errors import ConfigError

Plain: TypeAlias = Any
"""Mappings, lists and text; None for null."""

_DEEPEST: Final = 16


class _Open:
    """A mapping or list that has begun and not ended."""

    __slots__ = ("items", "key", "made")

    def __init__(self, made: dict[str, Plain] | list[Plain]) -> None:
        self.made = made
        self.key: str | None = None

    def take(self, value: Plain) -> None:
        if isinstance(self.made, list):
            self.made.append(value)
        elif self.key is None:
            if not isinstance(value, str):
                raise ConfigError.of("", "a key must be a string")
            if value in self.made:
                raise ConfigError.of(value, "given twice")
            self.key = value
        else:
            self.made[self.key] = value
            self.key = None


def read(text: str) -> Plain:
    """One document of mappings, lists and text; nothing is guessed about a scalar but null."""
    root = _Open([])
    stack = [root]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for event in yaml.parse(text, Loader=loader):
        kind = type(event)
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0]
            empty = plain and event.value in ("", "~", "null", "Null", "NULL")
            # A null key would be no key at all.
            stack[-1].take(None if empty and _wants_value(stack[-1]) else event.value)
        elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            if len(stack) > _DEEPEST:
                raise ConfigError.of("", f"nested deeper than {_DEEPEST} levels")
            stack.append(_Open({} if kind is yaml.MappingStartEvent else []))
        elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            made = stack.pop().made
            stack[-1].take(made)
        elif kind is yaml.AliasEvent:
            raise ConfigError.of("", "aliases are not read here")
    assert isinstance(root.made, list)
    if len(root.made) > 1:
        raise ConfigError.of("", "more than one document")
    return root.made[0] if root.made else None


def _wants_value(open_one: _Open) -> bool:
    return isinstance(open_one.made, list) or open_one.key is not None
