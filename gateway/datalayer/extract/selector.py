"""PromQL instant vector selectors, as ``engineConfigs`` names a metric: text -> ``Selector``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from loadstar.signals.exposition import Sample

Matches: TypeAlias = Callable[[str], bool]

_METRIC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*")
# A value may go without quotes, as the reference allows.
_MATCHER = re.compile(
    r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"
    r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"',}=]+))\s*(,|(?=\}))"""
)
_ESCAPE = re.compile(r"\\(.)")
_UNESCAPED = MappingProxyType({"n": "\n", "t": "\t", "r": "\r"})


@dataclass(frozen=True, slots=True)
class Selector:
    """Series by name and labels; a label that a series lacks is the empty string."""

    name: bytes
    matchers: tuple[tuple[str, Matches], ...] = field(default=(), compare=False)

    def choose(self, series: Sequence[Sample]) -> Sequence[Sample]:
        """The series that every matcher accepts."""
        if not self.matchers:
            return series
        return [sample for sample in series if self._accepts(sample.labels)]

    def _accepts(self, labels: Mapping[str, str]) -> bool:
        return all(matches(labels.get(name, "")) for name, matches in self.matchers)


def parse(text: str) -> Selector:
    """``name{label="value",other!~"a|b"}``. Raises ValueError with words for its author."""
    metric = _METRIC.match(text)
    if metric is None:
        raise ValueError(f"{text[:80]!r} does not begin with a metric name")
    rest = text[metric.end() :].strip()
    if not rest:
        return Selector(metric[1].encode())
    if not (rest.startswith("{") and rest.endswith("}")):
        raise ValueError(f"{text[:80]!r}: after the name only {{label=value,...}} may stand")
    matchers = []
    at = 1
    while match := _MATCHER.match(rest, at):
        name, operator, double, single, bare = match.groups()[:5]
        quoted = double if double is not None else single
        value = bare if quoted is None else _ESCAPE.sub(_unescape, quoted)
        matchers.append((name, _matches(operator, value)))
        at = match.end()
    if rest[at:].strip() != "}":
        raise ValueError(f"{text[:80]!r}: cannot read the labels from {rest[at : at + 40]!r}")
    return Selector(metric[1].encode(), tuple(matchers))


def _unescape(match: re.Match[str]) -> str:
    return _UNESCAPED.get(match[1], match[1])


def _matches(operator: str, value: str) -> Matches:
    if operator == "=":
        return lambda given: given == value
    if operator == "!=":
        return lambda given: given != value
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise ValueError(f"{value[:80]!r} is not a regular expression: {error}") from None
    if operator == "=~":
        return lambda given: pattern.fullmatch(given) is not None
    return lambda given: pattern.fullmatch(given) is None
