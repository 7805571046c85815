"""A plugin that raises is passed over: it costs its opinion, never the request. Pure.

    with Skipping(cycle.failures, scorer, "score"):
        add(totals, scorer.score(cycle, kept), weight)

What was raised goes, as a value, to whoever made the cycle; the director counts and logs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """One exception out of a plugin."""

    plugin: object
    point: str
    """What it was asked for: produce, filter, score, pick, picked, served, ..."""
    error: Exception


class Failures(Protocol):
    """Where failures go; a list will do."""

    def append(self, failure: Failure, /) -> object: ...


class Skipping:
    """A block that ends early, and no more, when ``plugin`` raises in it.

    ``passing`` are exceptions that are an answer and no failure: for whoever may refuse, refusals.
    """

    __slots__ = ("_failures", "_passing", "_plugin", "_point")

    def __init__(
        self,
        failures: Failures,
        plugin: object,
        point: str,
        *,
        passing: type[Exception] | tuple[()] = (),
    ) -> None:
        self._failures = failures
        self._plugin = plugin
        self._point = point
        self._passing = passing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, self._passing):
            return False
        self._failures.append(Failure(self._plugin, self._point, error))
        return True
