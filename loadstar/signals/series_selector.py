"""PromQL instant vector selectors: text -> a family's name and what its labels must be. Pure.

``name{label="value",other!~"a|b"}``, as the gateway's ``engineConfigs`` and the metrics adapter's
table name what they read. No ranges, no functions: a page of metrics has neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from loadstar.signals.exposition import Sample

LONGEST_TEXT = 1000
_METRIC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*")
_MATCHER = re.compile(
    r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"
    r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"',}=]+))\s*(?:,|(?=\}))""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_UNESCAPED = MappingProxyType({"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"})


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition; a label that a series lacks is the empty string."""

    label: str
    operator: str
    value: str
    pattern: re.Pattern[str] | None

    def accepts(self, labels: Mapping[str, str]) -> bool:
        given = labels.get(self.label, "")
        if self.pattern is None:
            same = given == self.value
        else:
            same = self.pattern.fullmatch(given) is not None
        return same is not self.operator.startswith("!")


@dataclass(frozen=True, slots=True)
class SeriesSelector:
    """Series of one family."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    @property
    def family(self) -> bytes:
        """The name as a page has it."""
        return self.name.encode()

    def choose(self, series: Sequence[Sample]) -> Sequence[Sample]:
        """Those of the family's samples that every matcher accepts."""
        if not self.matchers:
            return series
        return [
            sample
            for sample in series
            if all(matcher.accepts(sample.labels) for matcher in self.matchers)
        ]


def parse(text: str, *, bare: bool = False) -> SeriesSelector:
    """The selector that ``text`` is; with ``bare`` a value may go without quotes.

    Raises ValueError with words for its author.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a selector of {len(text)} characters is longer than {LONGEST_TEXT}")
    metric = _METRIC.match(text)
    if metric is None:
        raise ValueError(f"{text[:80]!r} does not begin with a metric name")
    rest = text[metric.end() :].strip()
    if not rest:
        return SeriesSelector(metric[1])
    if not (rest.startswith("{") and rest.endswith("}")):
        raise ValueError(f'{text[:80]!r}: after the name only {{label="value",...}} may stand')
    matchers = []
    at = 1
    while (match := _MATCHER.match(rest, at)) and (bare or match[5] is None):
        label, operator, double, single, unquoted = match.groups()
        quoted = double if double is not None else single
        matchers.append(_matcher(label, operator, unquoted if quoted is None else quoted))
        at = match.end()
    if rest[at:].strip() != "}":
        raise ValueError(f"{text[:80]!r}: cannot read the labels from {rest[at : at + 40]!r}")
    return SeriesSelector(metric[1], tuple(matchers))


def _matcher(label: str, operator: str, raw: str) -> Matcher:
    if operator in ("=", "!="):
        value = _ESCAPE.sub(lambda match: _UNESCAPED.get(match[1], match[1]), raw)
        return Matcher(label, operator, value, None)
    # PromQL writes a dot as "\\."; "\." it refuses, but it can only mean the same.
    value = _ESCAPE.sub(lambda match: _UNESCAPED.get(match[1], match[0]), raw)
    try:
        return Matcher(label, operator, value, re.compile(value))
    except re.error as error:
        raise ValueError(f"{value[:80]!r} is not a regular expression: {error}") from None
