"""How much counters grew within a window, publisher by publisher. Pure but for memory, bounded.

A publisher that restarts is another one, whose counters were zero when it started; one that falls
silent is forgotten with what it counted. So sums over publishers never seem to fall, and no reset
has to be guessed at.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

STEPS = 12
"""Readings that a window is kept as: it begins within a twelfth of where it should."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Reading(Generic[R]):
    """What a publisher's counters were at one moment."""

    at: float
    values: R


class Stamped(Protocol):
    """A snapshot, as far as this file minds."""

    @property
    def publisher(self) -> str: ...
    @property
    def started_at(self) -> float: ...
    @property
    def observed_at(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Span(Generic[R]):
    """A publisher's window: its newest counters, and those that they are compared with."""

    newest: Reading[R]
    base: Reading[R] | None
    """None is zero, at ``started_at``."""
    started_at: float

    @property
    def seconds(self) -> float:
        """How much time lies between the two."""
        return self.newest.at - (self.started_at if self.base is None else self.base.at)


class Growth(Generic[R]):
    """Readings of every publisher, as far back as a window reaches."""

    def __init__(self, window: float) -> None:
        """``window`` in seconds."""
        self._window = window
        self._step = window / STEPS
        self._kept: dict[str, _Kept[R]] = {}

    def add(self, snapshot: Stamped, values: R) -> None:
        """Note what ``snapshot`` counts; one that is older than the newest changes nothing."""
        reading = Reading(snapshot.observed_at, values)
        kept = self._kept.get(snapshot.publisher)
        if kept is None:
            self._kept[snapshot.publisher] = _Kept(snapshot.started_at, reading, [reading])
            return
        if reading.at <= kept.newest.at:
            return
        kept.newest = reading
        if reading.at >= kept.older[-1].at + self._step:
            kept.older.append(reading)
        # One reading from before the window stays: it is what the window begins with.
        while len(kept.older) > 1 and kept.older[1].at <= reading.at - self._window:
            del kept.older[0]

    def keep(self, publishers: Container[str]) -> None:
        """Forget all others."""
        for gone in [name for name in self._kept if name not in publishers]:
            del self._kept[gone]

    def spans(self) -> dict[str, Span[R]]:
        """Every publisher's window, by name in order."""
        spans = {}
        for publisher in sorted(self._kept):
            kept = self._kept[publisher]
            began_within = kept.started_at >= kept.newest.at - self._window
            base = None if began_within else kept.older[0]
            spans[publisher] = Span(kept.newest, base, kept.started_at)
        return spans


@dataclass(slots=True)
class _Kept(Generic[R]):
    started_at: float
    newest: Reading[R]
    older: list[Reading[R]]
    """At least a step apart."""
