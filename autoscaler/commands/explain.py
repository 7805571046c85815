"""``loadstar explain MODEL [--at TIME]``: why a model has the size it has, from the ledger."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from autoscaler.commands.moments import moment_s, shown
from autoscaler.ledger.entries import Decided, Entry, Wrote
from autoscaler.ledger.files import read, segments
from loadstar.clock import SystemClock
from loadstar.config.errors import did_you_mean

DEFAULT_LEDGER = "/var/lib/loadstar/ledger"
WRITES_SHOWN_S = 300.0
"""How long before the moment a write is still shown."""


def main(argv: Sequence[str]) -> int:
    """0 if there is a decision to explain, 1 if there is none, 2 for a line to mend."""
    parser = argparse.ArgumentParser(
        prog="loadstar explain", description="Say why a model has the size it has."
    )
    parser.add_argument("model")
    parser.add_argument("--at", default="-0s", help="2026-05-01T12:00:00Z, or -15m; default: now")
    parser.add_argument(
        "--ledger", type=Path, default=Path(os.environ.get("LOADSTAR_LEDGER", DEFAULT_LEDGER))
    )
    given = parser.parse_args([*_joined(argv)])
    try:
        at_s = moment_s(given.at or "", SystemClock().wall())
    except ValueError as error:
        sys.stderr.write(f"loadstar explain: {error}\n")
        return 2
    if not segments(given.ledger):
        sys.stderr.write(f"loadstar explain: {given.ledger}: no ledger here; give --ledger\n")
        return 2

    def left_out(said: str) -> None:
        sys.stderr.write(f"loadstar explain: {said}; left out\n")

    try:
        found = explained(read(given.ledger, left_out), given.model, at_s)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"loadstar explain: {error}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in found.lines)
    return 0 if found.is_known else 1


def _joined(argv: Sequence[str]) -> Iterable[str]:
    """``--at -15m`` as ``--at=-15m``: argparse takes the second word for a flag."""
    words = list(argv)
    for index, word in enumerate(words):
        if index and words[index - 1] == "--at":
            continue
        after = words[index + 1] if index + 1 < len(words) else ""
        yield f"{word}={after}" if word == "--at" and after else word


class Explanation:
    """Lines to print, and whether they explain anything."""

    def __init__(self, lines: list[str], *, is_known: bool) -> None:
        self.lines = lines
        self.is_known = is_known


def explained(entries: Iterable[Entry], model: str, at_s: float) -> Explanation:
    """The last decision for ``model`` at ``at_s``, the one before it that differed, and writes."""
    now: Decided | None = None
    before: Decided | None = None
    writes: list[Wrote] = []
    models: set[str] = set()
    for entry in entries:
        if entry.at_s > at_s and now is not None:
            break
        if entry.at_s > at_s:  # nothing yet: when does it begin to be known?
            if isinstance(entry, Decided):
                models.add(entry.seen.model)
                if entry.seen.model == model:
                    return _later(entry, at_s)
        elif isinstance(entry, Wrote) and entry.model in ("", model):
            writes = [each for each in writes if each.at_s >= entry.at_s - WRITES_SHOWN_S]
            writes.append(entry)
        elif isinstance(entry, Decided):
            models.add(entry.seen.model)
            if entry.seen.model == model:
                if now is not None and now.decision.replicas != entry.decision.replicas:
                    before = now
                now = entry
    if now is None:
        hint = did_you_mean(model, models)
        known = ", ".join(sorted(models)) or "nothing"
        return Explanation(
            [f"no decision for {model} until {shown(at_s)}{hint}; the ledger knows {known}"],
            is_known=False,
        )
    recent = [each for each in writes if each.at_s >= now.at_s - WRITES_SHOWN_S]
    return Explanation(_lines(now, before, recent), is_known=True)


def _later(first: Decided, at_s: float) -> Explanation:
    model, begins = first.seen.model, shown(first.at_s)
    line = f"no decision for {model} until {shown(at_s)}; the ledger's first for it is of {begins}"
    return Explanation([line], is_known=False)


def _lines(now: Decided, before: Decided | None, writes: Sequence[Wrote]) -> list[str]:
    decision, seen = now.decision, now.seen
    lines = [
        f"{seen.model} at {shown(now.at_s)}: {decision.total()} replicas, {decision.reason.value}"
        + ("" if now.mode in ("", "active") else f" (mode {now.mode}: nothing is written)")
    ]
    if decision.text:
        lines.append(f"  {decision.text}")
    for pool, replicas in sorted(decision.replicas.items()):
        supply = seen.supply.get(pool)
        has = "not observed"
        if supply is not None:
            has = f"{supply.replicas_ready} ready, {supply.replicas_starting} starting"
            has += ", no capacity to be had" if supply.stockout else ""
            has += "" if supply.quota_units is None else f", quota {supply.quota_units} units"
        lines.append(f"  pool {pool}: {replicas} wanted; {has}")
    demand = seen.demand
    rate = "not known" if demand.arrivals_rps is None else f"{demand.arrivals_rps:.4g} requests/s"
    queued = "" if demand.queued_requests is None else f", {demand.queued_requests:g} waiting"
    lines.append(f"  demand: {rate}{queued}")
    lines += [f"  {name} = {value:.6g}" for name, value in sorted(decision.inputs.items())]
    if before is not None:
        lines.append(
            f"  before: {before.decision.total()} replicas, {before.decision.reason.value}, "
            f"until after {shown(before.at_s)}"
        )
    for write in writes:
        lines.append(
            f"  {shown(write.at_s)} {write.method} {write.target} {dict(write.body)}: "
            f"{write.outcome}"
        )
    return lines
