"""``python -m load_tests scaling``: the targets, in parts; a table, and JSON with every figure."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from load_tests.scaling.runs import Runs
from load_tests.scaling.targets import TARGETS
from load_tests.scaling.verdict import Scope, Verdict
from load_tests.scaling.weeks import ALL, COLD, COLD_DIURNAL, REAL, SYNTHETIC


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the targets that are asked for; 1 when ``--assert`` and one does not hold."""
    arguments = _parser().parse_args(argv)
    weeks = arguments.weeks or [
        w.name for w in ((*REAL, *SYNTHETIC) if arguments.data else SYNTHETIC)
    ]
    scope = Scope(tuple(weeks), tuple(range(1, arguments.seeds + 1)), arguments.lead)
    runs = Runs(arguments.data, arguments.keep, arguments.jobs)
    verdicts: list[Verdict] = []
    for name in arguments.targets:
        for verdict in TARGETS[name](runs, scope):
            verdicts.append(verdict)
            print(_line(verdict), flush=True)
            if arguments.rows:
                for row in verdict.rows:
                    print(f"    {_shown(row)}", flush=True)
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"scope": asdict(scope), "verdicts": [asdict(v) for v in verdicts]}
        arguments.json.write_text(json.dumps(report, indent=2))
    return 1 if arguments.hold and not all(v.holds for v in verdicts) else 0


def _line(verdict: Verdict) -> str:
    mark = "holds" if verdict.holds else "FAILS"
    return f"{verdict.target:<22} {mark}  {verdict.measured}   [{verdict.asked}]"


def _shown(row: dict[str, object]) -> str:
    return "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.items()
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m load_tests scaling", description=__doc__)
    parser.add_argument("--data", type=Path, help="directory of the ServeGen files; else synthetic")
    parser.add_argument(
        "--targets", type=_targets, default=list(TARGETS), help=f"of {','.join(TARGETS)}"
    )
    parser.add_argument("--weeks", type=_weeks, help=f"of {','.join(ALL)}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--lead", type=float, default=6.5, help="minutes: 2, 6.5, 12 or 20")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--keep", type=Path, help="keep the figures of runs here and go on from them"
    )
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--rows", action="store_true", help="print what verdicts rest on")
    parser.add_argument("--assert", action="store_true", dest="hold", help="exit 1 unless all hold")
    return parser


def _targets(text: str) -> list[str]:
    return _known(text, list(TARGETS))


def _weeks(text: str) -> list[str]:
    judged = [name for name in ALL if name not in (COLD.name, COLD_DIURNAL.name)]
    return _known(text, judged)


def _known(text: str, names: list[str]) -> list[str]:
    wanted = text.split(",")
    for name in wanted:
        if name not in names:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(names)}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())
