"""Label selectors in the full grammar of the Kubernetes API: text or object -> match. Pure.

``app=vllm, tier in (a, b), !canary, gen>2``. An empty selector matches everything; a requirement
of difference (``!=``, ``notin``) also matches where the label is absent. Called by the gateway's
discovery and label filter, and by the metrics adapter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

MAX_TEXT = 16_384
"""Longer than any selector a person or a controller writes."""
MAX_REQUIREMENTS = 256

_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_INTEGER = re.compile(r"\d{1,19}", re.ASCII)
_TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")


class Operator(Enum):
    """What is asked of one label; values are those of ``matchExpressions``."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    ABSENT = "DoesNotExist"
    GREATER = "Gt"
    LESS = "Lt"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. Raises ValueError for a key or value that no label can have."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()
    """Sorted, without repetition."""

    def __post_init__(self) -> None:
        check_key(self.key)
        for value in self.values:
            check_value(self.key, value)
        count = len(self.values)
        match self.operator:
            case Operator.IN | Operator.NOT_IN if not count:
                raise ValueError(f"{self.key}: {self.operator.value} needs at least one value")
            case Operator.EXISTS | Operator.ABSENT if count:
                raise ValueError(f"{self.key}: {self.operator.value} takes no values")
            case Operator.GREATER | Operator.LESS:
                if count != 1 or not _INTEGER.fullmatch(self.values[0]):
                    raise ValueError(f"{self.key}: {self.operator.value} takes one whole number")
            case _:
                pass
        object.__setattr__(self, "values", tuple(sorted(set(self.values))))

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None
            case Operator.GREATER | Operator.LESS:
                if value is None or not _INTEGER.fullmatch(value):
                    return False
                bound = int(self.values[0])
                more = self.operator is Operator.GREATER
                return int(value) > bound if more else int(value) < bound

    def __str__(self) -> str:
        listed = ",".join(self.values)
        match self.operator:
            case Operator.IN:
                return (
                    f"{self.key}={listed}" if len(self.values) == 1 else f"{self.key} in ({listed})"
                )
            case Operator.NOT_IN:
                if len(self.values) == 1:
                    return f"{self.key}!={listed}"
                return f"{self.key} notin ({listed})"
            case Operator.EXISTS:
                return self.key
            case Operator.ABSENT:
                return f"!{self.key}"
            case Operator.GREATER:
                return f"{self.key}>{listed}"
            case Operator.LESS:
                return f"{self.key}<{listed}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All of ``requirements`` at once; ``str`` is the text that ``labelSelector=`` takes."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()


def parse(text: str) -> Selector:
    """The selector that ``text`` is. Raises ValueError, saying what is wrong and where."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"a selector of {len(text)} characters is longer than {MAX_TEXT}")
    words = _Words(text)
    requirements: list[Requirement] = []
    while words.next is not None:
        if requirements:
            words.expect(",")
        requirements.append(_requirement(words))
        if len(requirements) > MAX_REQUIREMENTS:
            raise ValueError(f"more than {MAX_REQUIREMENTS} requirements")
    return Selector(tuple(sorted(requirements, key=lambda each: each.key)))


def from_labels(labels: Mapping[str, str]) -> Selector:
    """What ``matchLabels`` means: every label, with exactly that value."""
    return Selector(tuple(Requirement(key, Operator.IN, (labels[key],)) for key in sorted(labels)))


def from_object(selector: Mapping[str, Any] | None) -> Selector | None:
    """A LabelSelector object (``matchLabels``, ``matchExpressions``); None matches nothing.

    Raises ValueError.
    """
    if selector is None:
        return None
    unknown = set(selector) - {"matchLabels", "matchExpressions"}
    if unknown:
        raise ValueError(f"a label selector has no {min(unknown)}")
    found = list(from_labels(selector.get("matchLabels") or {}).requirements)
    for expression in selector.get("matchExpressions") or ():
        try:
            operator = Operator(expression.get("operator"))
        except ValueError:
            raise ValueError(f"{expression.get('operator')!r} is not an operator") from None
        if operator in (Operator.GREATER, Operator.LESS):
            raise ValueError(f"{operator.value} cannot be said in matchExpressions")
        values = tuple(expression.get("values") or ())
        found.append(Requirement(str(expression.get("key", "")), operator, values))
    return Selector(tuple(found))


def check_key(key: str) -> None:
    """Raises ValueError unless ``key`` is a qualified name: ``[dns-subdomain/]name``."""
    prefix, slash, name = key.rpartition("/")
    good = _NAME.fullmatch(name) and (_PREFIX.fullmatch(prefix) if slash else True)
    if not good:
        raise ValueError(f"{key[:80]!r} is not a label key")


def check_value(key: str, value: object) -> None:
    """Raises ValueError unless ``value`` can be a label's: empty, or at most 63 of a few."""
    if not isinstance(value, str) or (value and not _NAME.fullmatch(value)):
        raise ValueError(f"{key}: {str(value)[:80]!r} is not a label value")


class _Words:
    """The words of a selector, one ahead."""

    def __init__(self, text: str) -> None:
        self._found = _split(text)
        self.next: str | None = next(self._found, None)

    def take(self) -> str | None:
        word, self.next = self.next, next(self._found, None)
        return word

    def expect(self, word: str) -> None:
        got = self.take()
        if got != word:
            raise ValueError(
                f"expected {word!r}, not {'the end' if got is None else repr(got[:80])}"
            )


def _split(text: str) -> Iterator[str]:
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        assert match is not None  # the last alternative takes whatever the others do not
        yield match[1]
        position = match.end()


_PUNCTUATION = frozenset({"=", "==", "!=", "!", "<", ">", "(", ")", ","})


def _requirement(words: _Words) -> Requirement:
    if words.next == "!":
        words.take()
        return Requirement(_identifier(words), Operator.ABSENT)
    key = _identifier(words)
    word = words.next
    if word is None or word == ",":
        return Requirement(key, Operator.EXISTS)
    words.take()
    match word:
        case "=" | "==":
            return Requirement(key, Operator.IN, (_value(words),))
        case "!=":
            return Requirement(key, Operator.NOT_IN, (_value(words),))
        case "in":
            return Requirement(key, Operator.IN, _values(words))
        case "notin":
            return Requirement(key, Operator.NOT_IN, _values(words))
        case ">" | "<":
            operator = Operator.GREATER if word == ">" else Operator.LESS
            return Requirement(key, operator, (_value(words),))
        case _:
            raise ValueError(f"{key}: {word[:80]!r} is not an operator")


def _identifier(words: _Words) -> str:
    word = words.take()
    if word is None or word in _PUNCTUATION:
        raise ValueError(f"expected a label key, not {'the end' if word is None else repr(word)}")
    return word


def _value(words: _Words) -> str:
    """One value; nothing before the end or a comma is the empty value."""
    if words.next is None or words.next == ",":
        return ""
    return _identifier(words)


def _values(words: _Words) -> tuple[str, ...]:
    words.expect("(")
    values: list[str] = []
    wants_value = True
    while words.next is not None and words.next != ")":
        if words.next == ",":
            words.take()
            if wants_value:
                values.append("")
            wants_value = True
        elif wants_value:
            values.append(_identifier(words))
            wants_value = False
        else:
            raise ValueError(f"expected ',' or ')', not {words.next[:80]!r}")
    words.expect(")")
    return (*values, "") if wants_value else tuple(values)
