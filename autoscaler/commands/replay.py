"""``loadstar replay LEDGER``: recorded decisions, reproduced bit for bit. Exit status tells."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from autoscaler.commands.moments import shown
from autoscaler.ledger.files import read, segments
from autoscaler.replay import Replayed, replay
from loadstar.config.errors import did_you_mean

MOST_SHOWN = 20


def main(argv: Sequence[str]) -> int:
    """0 if every decision came out the same, 1 if one did not, 2 if there is nothing to replay."""
    parser = argparse.ArgumentParser(
        prog="loadstar replay",
        description="Make the decisions of a ledger again, from the inputs it holds.",
    )
    parser.add_argument("ledger", type=Path, help="a ledger's folder, or one of its segments")
    parser.add_argument("--model", default="", help="only this model")
    given = parser.parse_args(argv)
    if not segments(given.ledger):
        sys.stderr.write(f"loadstar replay: {given.ledger}: no ledger here\n")
        return 2
    total = different = 0
    models: set[str] = set()

    def left_out(said: str) -> None:
        sys.stderr.write(f"loadstar replay: {said}; left out\n")

    try:
        for one in replay(read(given.ledger, left_out)):
            models.add(one.recorded.seen.model)
            if given.model not in ("", one.recorded.seen.model):
                continue
            total += 1
            if not one.same:
                different += 1
                if different <= MOST_SHOWN:
                    sys.stdout.write(_told(one))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"loadstar replay: {error}\n")
        return 2
    if total == 0 and models:
        hint = did_you_mean(given.model, models)
        known = ", ".join(sorted(models))
        sys.stderr.write(
            f"loadstar replay: --model: no decision for {given.model}{hint}; "
            f"the ledger knows {known}\n"
        )
        return 2
    if total == 0:
        sys.stderr.write("loadstar replay: the ledger holds no decision with its beginning\n")
        return 2
    sys.stdout.write(f"{total} decisions, {total - different} the same, {different} different\n")
    return 1 if different else 0


def _told(one: Replayed) -> str:
    before, after = one.recorded.decision, one.again
    names = [*before.inputs, *(name for name in after.inputs if name not in before.inputs)]
    moved = [
        f"{name} {before.inputs.get(name)} -> {after.inputs.get(name)}"
        for name in names
        if before.inputs.get(name) != after.inputs.get(name)
    ]
    return (
        f"{shown(one.recorded.at_s)} {one.recorded.seen.model}: "
        f"{before.reason.value} {dict(before.replicas)} -> "
        f"{after.reason.value} {dict(after.replicas)}"
        + (f" ({'; '.join(moved[:5])})" if moved else "")
        + "\n"
    )
