"""A plugin that raises is passed over: it costs its opinion, never the request. Pure.

    mask = asked(cycle.failures, filter, "filter", filter.keep, cycle, candidates)

What was raised goes, as a value, to whoever made the cycle; the director counts and logs it.
As every call of a plugin passes here, this is also where some are timed (``Timed``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, TypeVarTuple

from gateway.errors import Refusal

Asked = TypeVarTuple("Asked")
Said = TypeVar("Said")


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

    __slots__ = ("_failures", "_now", "_took")

    def __init__(
        self,
        failures: Failures,
        now: Callable[[], float],
        took: Callable[[object, str, float], object],
    ) -> None:
        """``took`` is told (plugin, point, seconds), also of a plugin that raised."""
        self._failures = failures
        self._now = now
        self._took = took

    def timed(
        self, way: Callable[..., Said | None], plugin: object, point: str, *call: Any
    ) -> Said | None:
        """Go ``way``, ``asked`` or ``told``, and say how long it took."""
        began = self._now()
        try:
            return way(self._failures, plugin, point, *call)
        finally:
            self._took(plugin, point, self._now() - began)

    def append(self, failure: Failure) -> None:
        """Pass it on."""
        self._failures.append(failure)


def asked(
    failures: Failures, plugin: object, point: str, call: Callable[[*Asked], Said], *args: *Asked
) -> Said | None:
    """What ``call(*args)`` returns; None if it raises, which ``failures`` are told.

    A refusal is an answer and no failure: it is raised.
    """
    if isinstance(failures, Timed):
        return failures.timed(asked, plugin, point, call, *args)
    try:
        return call(*args)
    except Refusal:
        raise
    except Exception as error:
        failures.append(Failure(plugin, point, error))
        return None


def told(
    failures: Failures, plugin: object, point: str, call: Callable[[*Asked], Said], *args: *Asked
) -> Said | None:
    """The same, of who has nothing to refuse any more: what it raises is a failure."""
    if isinstance(failures, Timed):
        return failures.timed(told, plugin, point, call, *args)
    try:
        return call(*args)
    except Exception as error:
        failures.append(Failure(plugin, point, error))
        return None
