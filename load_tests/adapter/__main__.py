"""Runs the benchmark and prints its tables: ``python -m load_tests.adapter``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import orjson

from load_tests import words
from load_tests.adapter.asking import Timed, at_a_rate, one_by_one
from load_tests.adapter.plant import METRICS, PODS_PER_GROUP, Plant, listed, of_group, plant
from load_tests.tables import table
from loadstar.clock import Clock, SystemClock

HPAS = 1000
SYNC_SECONDS = 15.0
"""Each HPA asks once in this time."""
RATE_SECONDS = 20.0
CALLERS = 8
UPDATES = 5
"""Of every value, before memory is read: what is replaced must also go."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m load_tests.adapter")
    parser.add_argument(
        "--pods", type=words.several(words.count), default=[10, 1000, 5000], metavar="N,..."
    )
    parser.add_argument("--answers", type=words.count, default=300, help="answers per figure")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument(
        "--undisturbed",
        action="store_true",
        help="real-time priority while answers are timed (root): for a machine that is busy",
    )
    given = parser.parse_args(argv)
    sizes = sorted(given.pods)
    with tempfile.TemporaryDirectory() as folder, plant(Path(folder)) as made:
        quiet = made.undisturbed if given.undisturbed else nullcontext
        figures = []
        for size in _grown(made, sizes):
            with quiet():
                figures.append(_size(made, size, given.answers, SystemClock()))
        with quiet():
            autoscalers = _autoscalers(made, sizes[-1], SystemClock())
    print(_report(figures, autoscalers))
    if given.json:
        given.json.write_bytes(
            orjson.dumps({"sizes": figures, "autoscalers": autoscalers}, option=orjson.OPT_INDENT_2)
        )
    return 0


def _grown(made: Plant, sizes: Sequence[int]) -> Any:
    """Each size in turn, once its pods are there."""
    have = 0
    for size in sizes:
        print(f"making {size - have} pods ...", file=sys.stderr)
        made.grow(range(have, size))
        for round in range(UPDATES):
            made.tell(size, round)
        have = size
        yield size


def _size(made: Plant, size: int, answers: int, clock: Clock) -> dict[str, Any]:
    ways = {"direct": made.direct, "aggregated": made.aggregated}
    timed = {name: one_by_one(way, listed(0), answers, clock) for name, way in ways.items()}
    return {
        "pods": size,
        "metrics": METRICS,
        "answer_bytes": timed["direct"].size_bytes,
        "resident_bytes": made.resident_bytes(),
        **{name: _quantiles(each) for name, each in timed.items()},
    }


def _autoscalers(made: Plant, pods: int, clock: Clock) -> dict[str, Any]:
    """A thousand HPAs: different groups of pods and metrics, evenly over a sync period."""
    groups = max(pods // PODS_PER_GROUP, 1)
    paths = [of_group(number % groups, number % METRICS) for number in range(HPAS)]
    figures: dict[str, Any] = {"hpas": HPAS, "rate": HPAS / SYNC_SECONDS, "pods": pods}
    for name, way in (("direct", made.direct), ("aggregated", made.aggregated)):
        before = made.cpu_seconds()
        timed, late = at_a_rate(way, paths, HPAS / SYNC_SECONDS, RATE_SECONDS, CALLERS, clock)
        cpu = (made.cpu_seconds() - before) / RATE_SECONDS
        figures[name] = {**_quantiles(timed), "late": late, "cores": cpu}
    figures["resident_bytes"] = made.resident_bytes()
    return figures


def _quantiles(timed: Timed) -> dict[str, float]:
    return {
        "p50_s": timed.quantile(0.5),
        "p99_s": timed.quantile(0.99),
        "max_s": timed.quantile(1),
    }


def _report(figures: Sequence[dict[str, Any]], autoscalers: dict[str, Any]) -> str:
    def ms(seconds: float) -> str:
        return f"{seconds * 1000:.1f} ms"

    def mb(size: int) -> str:
        return f"{size / 1e6:.0f} MB"

    lists = table(
        ("pods", "answer", "direct p50", "p99", "aggregated p50", "p99", "resident"),
        [
            (
                f"{each['pods']} x {each['metrics']}",
                f"{each['answer_bytes'] / 1000:.0f} kB",
                ms(each["direct"]["p50_s"]),
                ms(each["direct"]["p99_s"]),
                ms(each["aggregated"]["p50_s"]),
                ms(each["aggregated"]["p99_s"]),
                mb(each["resident_bytes"]),
            )
            for each in figures
        ],
    )
    load = table(
        (f"{HPAS} HPAs", "rate", "p50", "p99", "late", "adapter's cores"),
        [
            (
                name,
                f"{autoscalers['rate']:.0f}/s",
                ms(autoscalers[name]["p50_s"]),
                ms(autoscalers[name]["p99_s"]),
                str(autoscalers[name]["late"]),
                f"{autoscalers[name]['cores']:.2f}",
            )
            for name in ("direct", "aggregated")
        ],
    )
    return f"One metric of every pod:\n{lists}\n\nOne metric of ten pods each:\n{load}"


if __name__ == "__main__":
    sys.exit(main())
