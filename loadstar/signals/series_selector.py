"""PromQL instant vector selectors: text -> a family's name and what its labels must be. Pure.

``name{label="value",other!~"a|b"}``, as the metrics adapter's table names what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_TEXT = 1000
_METRIC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*")
_MATCHER = re.compile(
    r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|(?=\}))', re.DOTALL
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


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

    def accepts(self, labels: Mapping[str, str]) -> bool:
        return all(matcher.accepts(labels) for matcher in self.matchers)


def parse(text: str) -> SeriesSelector:
    """The selector that ``text`` is. Raises ValueError with words for its author."""
    metric = _METRIC.match(text) if len(text) <= LONGEST_TEXT else None
    if metric is None:
        raise ValueError(f"{text[:80]!r} does not begin with a metric name")
    rest = text[metric.end() :].strip()
    if not rest:
        return SeriesSelector(metric[1])
    if not (rest.startswith("{") and rest.endswith("}")):
        raise ValueError(f'{text[:80]!r}: after the name only {{label="value",...}} may stand')
    matchers = []
    at = 1
    while match := _MATCHER.match(rest, at):
        matchers.append(_matcher(match[1], match[2], match[3]))
        at = match.end()
    if rest[at:].strip() != "}":
        raise ValueError(f"{text[:80]!r}: cannot read the labels from {rest[at : at + 40]!r}")
    return SeriesSelector(metric[1], tuple(matchers))


def _matcher(label: str, operator: str, quoted: str) -> Matcher:
    value = _ESCAPE.sub(lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), quoted)
    if operator in ("=", "!="):
        return Matcher(label, operator, value, None)
    try:
        return Matcher(label, operator, quoted, re.compile(quoted))
    except re.error as error:
        raise ValueError(f"{quoted[:80]!r} is not a regular expression: {error}") from None
