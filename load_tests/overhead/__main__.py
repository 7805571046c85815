"""CPU per request, added latency and requests per second and core of endpoint pickers.

``python -m load_tests.overhead`` compares our gateway's two transports. ``wire-headers`` and
``wire-adaptive`` among ``--transports`` are the same under ``responseProcessing: headers`` and
``adaptive``, behind an Envoy that sends responses STREAMED, for in FULL_DUPLEX_STREAMED no stream
is let go. With pickers given as ``name=host:port,pid[,tls]`` it compares those instead; they must
send to the backends, which listen on ``--endpoints`` consecutive ports from ``--first-port``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import uvloop

from load_tests import words
from load_tests.overhead.backend import GAP_SECONDS
from load_tests.overhead.pickers import OURS, TRANSPORTS, BadPicker, Picker, ours, parse
from load_tests.overhead.report import Figure, figures, render
from load_tests.overhead.rounds import NONE, Plan, backends, cases, run
from load_tests.overhead.workloads import WORKLOADS


async def _measure(arguments: argparse.Namespace, workdir: Path) -> tuple[list[Figure], str]:
    plan = Plan(
        cases(arguments.workloads, arguments.connections), arguments.seconds, arguments.rounds
    )
    async with AsyncExitStack() as scope:
        endpoints = await scope.enter_async_context(
            backends(arguments.first_port, arguments.endpoints, arguments.gap_ms, workdir)
        )
        pickers: Sequence[Picker] = arguments.pickers
        if not pickers:
            pickers = await scope.enter_async_context(
                ours(arguments.transports, endpoints, workdir, arguments.flag)
            )
        baseline = arguments.baseline or pickers[-1].name
        return figures(await run(plan, pickers, endpoints, workdir, _say), baseline), baseline


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _names(known: Sequence[str], text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return names


def _workloads(text: str) -> list[str]:
    return _names(list(WORKLOADS), text)


def _transports(text: str) -> list[str]:
    return _names(list(OURS), text)


def _picker(text: str) -> Picker:
    try:
        picker = parse(text)
        picker.cpu_seconds()
    except BadPicker as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except (OSError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: no such process runs here") from error
    return picker


def _check_names(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a message if two pickers share a name, or the baseline is none of them."""
    names = [picker.name for picker in arguments.pickers] or arguments.transports
    for name in names:
        if name == NONE or names.count(name) > 1:
            parser.error(f"name the picker {name!r} otherwise: that name is taken")
    if arguments.baseline and arguments.baseline not in names:
        parser.error(f"--baseline: {arguments.baseline!r} is none of {', '.join(names)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m load_tests.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("pickers", nargs="*", type=_picker, metavar="name=host:port,pid[,tls]")
    add("--workloads", type=_workloads, default=list(WORKLOADS), metavar="NAME,...")
    add(
        "--connections",
        type=words.several(words.count),
        metavar="N,...",
        help="else what suits each workload",
    )
    add("--seconds", type=words.positive, default=2.0, help="of one burst")
    add("--rounds", type=words.count, default=3)
    add(
        "--transports",
        type=_transports,
        default=list(TRANSPORTS),
        metavar="NAME,...",
        help=f"of our own gateway: {', '.join(OURS)}",
    )
    add("--flag", action="append", default=[], help="one more flag for our own gateways")
    add("--baseline", help="whose CPU is 1.00x; the last picker's if not said")
    add("--endpoints", type=words.count, default=8)
    add("--first-port", type=words.port, help="of the backends; any free ports if not said")
    add(
        "--gap-ms",
        type=words.at_least(0),
        default=1000 * GAP_SECONDS,
        help="between streamed events",
    )
    add("--json", action="store_true")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if any request failed."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    _check_names(parser, arguments)
    with (
        tempfile.TemporaryDirectory(prefix="loadstar-overhead-") as made,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        measured, baseline = runner.run(_measure(arguments, Path(made)))
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in measured], indent=2))
    else:
        print(render(measured, baseline))
    return 1 if any(figure.failed for figure in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
