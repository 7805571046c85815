"""A command line in the manner of Go's pflag, declared as the fields of a frozen dataclass.

``--name value``, ``--name=value``, booleans as ``--name`` or ``--name=false``, ``-v 4``; the last
of a repeated flag wins and lists add up. Each field is written once: type, default, parser, help.
It prints nothing and exits nowhere; ``main`` does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from loadstar.config.errors import Problems, did_you_mean
from loadstar.config.units import duration, whole

T = TypeVar("T")
Target = TypeVar("Target")

_KEY = "flag"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_WIDTH = 96
_INDENT = 6


@dataclass(frozen=True, slots=True)
class Spec:
    """What the command line needs to know of one field."""

    parse: Callable[[str], Any]
    group: str
    help: str
    placeholder: str
    switch: bool = False
    adds_up: bool = False
    inert: str = ""
    """Why the flag changes nothing here, for flags taken only so that old command lines work."""


class HelpWanted(Exception):
    """``-h`` or ``--help`` was given."""


def flag(
    default: T,
    parse: Callable[[str], T],
    group: str,
    help: str,
    *,
    placeholder: str = "",
    inert: str = "",
) -> T:
    """A dataclass field that is also the flag of its name, with ``_`` as ``-``.

    ``parse`` raises ValueError with words for the person who typed the value; the parsers of this
    module say themselves what the help shows for a value.
    """
    shown = placeholder or _PLACEHOLDERS.get(parse, "string")
    spec = Spec(parse, group, help, shown, inert=inert)
    return field(default=default, metadata={_KEY: spec})


def text(
    group: str, help: str, *, default: str = "", placeholder: str = "string", inert: str = ""
) -> str:
    """A flag of any text."""
    return flag(default, str, group, help, placeholder=placeholder, inert=inert)


def switch(default: bool, group: str, help: str, *, inert: str = "") -> bool:
    """A boolean flag."""
    spec = Spec(boolean, group, help, "", switch=True, inert=inert)
    return field(default=default, metadata={_KEY: spec})


def listing(
    parse: Callable[[str], T], group: str, help: str, *, placeholder: str, inert: str = ""
) -> tuple[T, ...]:
    """A flag of comma-separated values; given again, it adds to the list."""

    def values(text: str) -> tuple[T, ...]:
        return tuple(parse(part) for part in text.split(",") if part.strip())

    spec = Spec(values, group, help, placeholder, adds_up=True, inert=inert)
    return field(default=(), metadata={_KEY: spec})


def boolean(text: str) -> bool:
    """As Go's strconv.ParseBool."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"{text!r} is not a boolean; write true or false")


def integer(text: str) -> int:
    """As Go's strconv.ParseInt with base 0: ``10``, ``0x1f``, ``-1``."""
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def port(text: str) -> int:
    """1..65535, or 0 for one that the system chooses."""
    value = integer(text)
    if not 0 <= value <= 65535:
        raise ValueError(f"{value} is not a port (1 to 65535)")
    return value


def span(text: str) -> float:
    """Seconds, not negative, of a Go duration."""
    seconds = duration(text)
    if seconds < 0:
        raise ValueError(f"{text!r} is negative")
    return seconds


def size(text: str) -> int:
    """Bytes of ``10MiB``, ``25MB``, ``16Gi``, ``4096``; not negative."""
    value = whole(text.strip().removesuffix("B").removesuffix("b"))
    if value < 0:
        raise ValueError(f"{text!r} is negative")
    return value


def one_of(*choices: str) -> Callable[[str], str]:
    """One of the words given."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(
                f"{text!r} is not one of {', '.join(choices)}{did_you_mean(text, choices)}"
            )
        return text

    return parse


_PLACEHOLDERS: Mapping[Callable[[str], Any], str] = MappingProxyType(
    {integer: "int", port: "int", span: "duration", size: "size"}
)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Target]):
    """The values, and the names (without dashes) of the flags that were given."""

    values: Target
    given: frozenset[str]


def parse(
    target: type[Target], argv: Sequence[str], *, refused: Collection[tuple[str, str]] = ()
) -> Parsed[Target]:
    """``target`` filled from ``argv``.

    ``refused`` are (name, mend) of flags that are known but may not be used. Raises ConfigError
    with every problem found, or HelpWanted.
    """
    specs = {name: spec for name, spec, _ in _specs(target)}
    mends = dict(refused)
    problems = Problems()
    values: dict[str, Any] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word in ("-h", "--help"):
            raise HelpWanted
        if word == "--" or not word.startswith("-") or word == "-":
            _unexpected(word, rest, problems)
            break
        name, given = _split(word, specs)
        # One dash is for one letter: -grpc-port is a slip, and taking it would hide -v typed long.
        spec = specs.get(name) if word.startswith("--") or len(name) == 1 else None
        if name in mends:
            problems.add(f"--{name}", mends[name])
            if given is None and rest and not rest[0].startswith("-"):
                rest.pop(0)
            continue
        if spec is None:
            known = did_you_mean(name, specs)
            problems.add(
                word.partition("=")[0], f"unknown flag{known.replace(' mean ', ' mean --')}"
            )
            if given is None and rest and not rest[0].startswith("-"):
                rest.pop(0)
            continue
        if given is None and not spec.switch:
            if not rest:
                problems.add(f"--{name}", "needs a value")
                break
            given = rest.pop(0)
        try:
            value = spec.parse("true" if given is None else given)
        except ValueError as error:
            problems.add(f"--{name}", str(error))
            continue
        key = name.replace("-", "_")
        values[key] = values.get(key, ()) + value if spec.adds_up else value
    problems.raise_if_any()
    return Parsed(target(**values), frozenset(key.replace("_", "-") for key in values))


def _split(word: str, specs: Collection[str]) -> tuple[str, str | None]:
    """(name, value or None) of ``--name[=value]``, ``-n[=]value`` and ``-n``."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        return name, value if equals else None
    if len(word) > 2 and word[1] in specs:
        return word[1], word[2:].removeprefix("=")
    name, equals, value = word[1:].partition("=")
    return name, value if equals else None


def _unexpected(word: str, rest: Sequence[str], problems: Problems) -> None:
    words = list(rest) if word == "--" else [word, *rest]
    if not words:
        return
    hint = "; a boolean is set with --flag=false" if words[0] in _TRUE | _FALSE else ""
    problems.add("", f"unexpected argument {words[0]!r}{hint}")


def _specs(target: type[Any]) -> Iterator[tuple[str, Spec, Field[Any]]]:
    for each in fields(target):
        if _KEY in each.metadata:
            yield each.name.replace("_", "-"), each.metadata[_KEY], each


def inert(target: type[Any], given: Collection[str]) -> list[str]:
    """One sentence for each given flag that changes nothing, with the reason."""
    return [
        f"--{name} has no effect: {spec.inert}"
        for name, spec, _ in _specs(target)
        if spec.inert and name in given
    ]


def usage(target: type[Any], show: Callable[[str, Any], str]) -> str:
    """The flags by group, for ``--help``; ``show(placeholder, default)`` writes a default."""
    groups: dict[str, list[str]] = {}
    for name, spec, each in _specs(target):
        dashes = "-" if len(name) == 1 else "--"
        head = f"  {dashes}{name} {spec.placeholder}".rstrip()
        default = show(spec.placeholder, each.default)
        if default:
            head += f"  (default {default})"
        text = spec.help + (f" No effect here: {spec.inert}." if spec.inert else "")
        indent = " " * _INDENT
        lines = textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        groups.setdefault(spec.group, []).append("\n".join([head, *lines]))
    return "\n\n".join(f"{group}\n" + "\n".join(flags) for group, flags in groups.items())
