"""Recorded decisions, made again from the same inputs: offline, and to the last bit. Pure.

Called by ``loadstar replay``. A difference means that the code decides otherwise than the code
that wrote the ledger, or that the ledger was changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoscaler.ledger.entries import Decided, Entry, Start, same
from autoscaler.ledger.starts import begun
from autoscaler.sizing.decision import Decision
from autoscaler.sizing.fleet import PlannerFleet
from loadstar.config.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision twice."""

    recorded: Decided
    again: Decision

    @property
    def same(self) -> bool:
        return same(self.recorded.decision, self.again)


def replay(entries: Iterable[Entry], model: str = "") -> Iterator[Replayed]:
    """Every decision of ``model`` (all, if empty) for which the ledger holds the beginning.

    The models of one tick decide together, for they may share pools and budget. Raises ValueError
    where a beginning or a line cannot be used.
    """
    fleet: PlannerFleet | None = None
    tick: list[Decided] = []
    for entry in entries:
        if tick and not (isinstance(entry, Decided) and entry.seen.now_s == tick[0].seen.now_s):
            yield from _again(fleet, tick, model)
            tick = []
        if isinstance(entry, Start):
            fleet = _begun(entry)
        elif isinstance(entry, Decided):
            tick.append(entry)
    yield from _again(fleet, tick, model)


def _begun(entry: Start) -> PlannerFleet:
    try:
        return begun(entry)
    except (ConfigError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the beginning at {entry.at_s:.0f} s cannot be used: {error}") from error


def _again(fleet: PlannerFleet | None, tick: list[Decided], model: str) -> Iterator[Replayed]:
    if fleet is None or not tick:
        return
    for each in tick:
        if each.seen.model not in fleet.planners:
            raise ValueError(f"decides for {each.seen.model!r}, of which its policy says nothing")
    decisions = fleet.decide({each.seen.model: each.seen for each in tick})
    for each in tick:
        if model in ("", each.seen.model):
            yield Replayed(each, decisions[each.seen.model])
