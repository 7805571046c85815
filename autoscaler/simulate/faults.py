"""When faults happen: repeated ones unrolled, and who is hit at an instant. Used by ``plant``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from autoscaler.simulate.fault import INSTANT, Fault, FaultKind

MOST = 10_000
"""Repetitions of one fault that are looked at; a year of hourly ones."""


def unrolled(faults: Sequence[Fault], end_s: float) -> list[Fault]:
    """Each repetition as a fault of its own, in time order."""
    made: list[Fault] = []
    for fault in faults:
        for n in range(MOST):
            at_s = fault.at_s + n * (fault.every_s or 0.0)
            if at_s >= end_s or (n and fault.every_s is None):
                break
            made.append(replace(fault, at_s=at_s, every_s=None))
    return sorted(made, key=lambda f: (f.at_s, f.kind.value, f.pool, f.zone))


@dataclass(slots=True)
class Timeline:
    """Faults as time passes: ``advance`` gives those that begin, the rest asks what lasts."""

    faults: list[Fault]
    _next: int = 0
    _active: list[Fault] = None  # type: ignore[assignment]  # made below

    def __post_init__(self) -> None:
        self._active = []

    def advance(self, now_s: float) -> tuple[list[Fault], list[Fault]]:
        """Those that begin at or before ``now_s``, and those that have just ended."""
        began: list[Fault] = []
        while self._next < len(self.faults) and self.faults[self._next].at_s <= now_s:
            began.append(self.faults[self._next])
            self._next += 1
        if not began and not self._active:
            return began, began
        ended = [f for f in self._active if _ends_s(f) <= now_s]
        if ended:
            self._active = [f for f in self._active if _ends_s(f) > now_s]
        self._active += [f for f in began if f.kind not in INSTANT]
        return began, ended

    def active(self, kind: FaultKind, pool: str, zone: str = "") -> Iterator[Fault]:
        """Those of ``kind`` that last now and hit ``pool`` (and ``zone``, where both have one)."""
        for fault in self._active:
            if fault.kind is kind and fault.pool in ("", pool) and fault.zone in ("", zone):
                yield fault

    def factor(self, kind: FaultKind, pool: str, zone: str = "") -> float:
        """The product of the factors of ``active``."""
        product = 1.0
        for fault in self.active(kind, pool, zone):
            product *= fault.times
        return product


def _ends_s(fault: Fault) -> float:
    return fault.at_s + fault.duration_s if fault.duration_s > 0 else float("inf")
