"""Recorded decisions, made again from the same inputs: offline, and to the last bit. Pure.

Called by ``loadstar replay``. A difference means that the code decides otherwise than the code
that wrote the ledger, or that the ledger was changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoscaler.ledger.entries import Decided, Entry, Start, same
from autoscaler.ledger.starts import begun
from autoscaler.sizing.decision import Controller, Decision


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision twice."""

    recorded: Decided
    again: Decision

    @property
    def same(self) -> bool:
        return same(self.recorded.decision, self.again)


def replay(entries: Iterable[Entry], model: str = "") -> Iterator[Replayed]:
    """Every decision of ``model`` (all, if empty) for which the ledger holds the beginning."""
    controllers: dict[str, Controller] = {}
    for entry in entries:
        if isinstance(entry, Start):
            if model in ("", entry.model):
                controllers[entry.model] = begun(entry)
        elif isinstance(entry, Decided) and entry.seen.model in controllers:
            yield Replayed(entry, controllers[entry.seen.model].decide(entry.seen))
