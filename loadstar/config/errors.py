"""What is wrong with a configuration: every problem at once, each with its path."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend; ``path`` is empty when it is about the whole document."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def within(self, place: str) -> Self:
        """The same, as it reads from outside the document, which stands at ``place``."""
        dot = "." if place and self.path and not self.path.startswith("[") else ""
        return type(self)(f"{place}{dot}{self.path}", self.message)


@dataclass(frozen=True, slots=True)
class Remark(Problem):
    """Worth knowing and nothing to mend, among the problems that a check returns."""


class ConfigError(Exception):
    """A configuration that cannot be used; the process does not start with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def of(cls, path: str, message: str) -> ConfigError:
        return cls([Problem(path, message)])


MOST_IN_BRIEF = 5


def in_brief(problems: Sequence[Problem]) -> str:
    """The first of ``problems`` on one line, for an Event; whoever says so has logged them all."""
    lines = [str(problem) for problem in problems[:MOST_IN_BRIEF]]
    more = len(problems) - MOST_IN_BRIEF
    if more > 0:
        lines.append(f"and {more} more, see the log")
    return "; ".join(lines)


class Problems:
    """Collects problems, so that one start shows them all."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: str, message: str) -> None:
        self._found.append(Problem(path, message))

    def include(self, error: ConfigError) -> None:
        self._found.extend(error.problems)

    def raise_if_any(self) -> None:
        if self._found:
            raise ConfigError(self._found)


def not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong with a text that was decoded as one, and the mend."""
    return f"not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """``, did you mean weight?`` when one of ``known`` is close, else nothing."""
    names = list(known)
    by_fold = {name.casefold(): name for name in names}
    exact = by_fold.get(given.casefold())
    close = [exact] if exact else difflib.get_close_matches(given[:200], names, n=1)
    return f", did you mean {close[0]}?" if close else ""
