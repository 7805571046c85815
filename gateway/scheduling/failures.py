"""A plugin that raises is passed over: it costs its opinion, never the request. Pure.

    with Skipping(cycle.failures, scorer, "score"):
        add(totals, scorer.score(cycle, kept), weight)

What was raised goes, as a value, to whoever made the cycle; the director counts and logs it.
As every call of a plugin passes here, this is also where some are timed (``Timed``).
"""

from __future__ import annotations

from collections.abc import Callable
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


class Timed:
    """Failures whose owner also wants to know how long each plugin takes."""

    __slots__ = ("_failures", "now", "took")

    def __init__(
        self,
        failures: Failures,
        now: Callable[[], float],
        took: Callable[[object, str, float], object],
    ) -> None:
        """``took`` is told (plugin, point, seconds), also of a plugin that raised."""
        self._failures = failures
        self.now = now
        self.took = took

    def append(self, failure: Failure) -> None:
        """Pass it on."""
        self._failures.append(failure)


class Skipping:
    """A block that ends early, and no more, when ``plugin`` raises in it.

    ``passing`` are exceptions that are an answer and no failure: for whoever may refuse, refusals.
    """

    __slots__ = ("_began", "_failures", "_passing", "_plugin", "_point")

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
        failures = self._failures
        self._began = failures.now() if isinstance(failures, Timed) else None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._began is not None and isinstance(self._failures, Timed):
            self._failures.took(self._plugin, self._point, self._failures.now() - self._began)
        if not isinstance(error, Exception) or isinstance(error, self._passing):
            return False
        self._failures.append(Failure(self._plugin, self._point, error))
        return True
