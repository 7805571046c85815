"""``python -m load_tests``: demo, compare, drive, bench, emulator, overhead, envoy-config."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import uvloop
from rich.console import Console

from load_tests import compare, compare_report, single
from load_tests.command_line import OTHERS, parser
from load_tests.compare import Settings
from load_tests.demo import Demo, demo
from load_tests.drive import target
from load_tests.envoy_config import standalone
from load_tests.measure import inference_perf
from loadstar.clock import SystemClock

T = TypeVar("T")

INTERRUPTED, TERMINATED = 130, 143  # the shell's convention: 128 and the signal's number
PLAIN_WIDTH = 160


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given and given[0] in OTHERS:
        # These have a command line of their own; `python -m load_tests.emulator` is the same.
        sys.argv = [f"python -m load_tests {given[0]}", *given[1:]]
        runpy.run_module(f"load_tests.{given[0]}", run_name="__main__", alter_sys=False)
        return 0
    arguments = parser().parse_args(given)
    # A shell that starts us in the background has told us to ignore SIGINT; we stop on it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return COMMANDS[arguments.run](arguments)
    except KeyboardInterrupt:
        # Leaving the scopes has stopped everything on the way here.
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except asyncio.CancelledError:
        print("stopped", file=sys.stderr)
        return TERMINATED


def _demo(arguments: argparse.Namespace) -> int:
    usual = Demo()
    settings = replace(
        usual.settings,
        seconds=arguments.seconds,
        servers=arguments.servers,
        load=arguments.load,
        seed=arguments.seed,
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    plan = Demo(
        usual.acts if arguments.act is None else (arguments.act,),
        settings,
        replace(arguments.hours, seed=arguments.seed),
        arguments.hpa_load,
        arguments.out,
        arguments.keep,
    )
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it tells stderr of each stream that ends
    checks = _run(demo(plan, SystemClock(), console))
    return 0 if all(check.holds for check in checks) else 1


def _compare(arguments: argparse.Namespace) -> int:
    settings = Settings(
        policies=arguments.policies,
        servers=arguments.servers,
        profile=arguments.profile,
        shape=arguments.workload or Settings().shape,
        load=arguments.load,
        seconds=arguments.seconds,
        seed=arguments.seed,
        speed=arguments.speed,
        gateway=arguments.config,
        logs=arguments.logs,
    )
    workload, results = _run(compare.compare(settings, SystemClock(), _say))
    print(compare_report.render(settings, results))
    _write_json(arguments.json, compare_report.report(settings, workload, results))
    broken = compare_report.broken_promises(results) if arguments.hold else []
    for promise in broken:
        print(f"FAILED: {promise}", file=sys.stderr)
    return 1 if broken else 0


def _drive(arguments: argparse.Namespace) -> int:
    load = single.Load(arguments.workload, arguments.rate, arguments.seconds, arguments.cv)
    to = target(arguments.to, arguments.model)
    samples = _run(single.drive(load, to, arguments.seed, SystemClock()))
    print(single.render(samples))
    _write_json(arguments.json, inference_perf(samples, arguments.rate))
    return 0 if all(s.ok for s in samples) else 1


def _bench(_: argparse.Namespace) -> int:
    """Each table in a process of its own: one does not warm up the next."""
    failed = 0
    for module in (["load_tests.idle", "--gateway"], ["load_tests", "compare"]):
        print(f"\n== python -m {' '.join(module)}\n", flush=True)
        failed |= subprocess.run([sys.executable, "-m", *module], check=False).returncode
    return failed


def _envoy_config(_: argparse.Namespace) -> int:
    print(standalone(), end="")
    return 0


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = MappingProxyType(
    {
        "demo": _demo,
        "compare": _compare,
        "drive": _drive,
        "bench": _bench,
        "envoy-config": _envoy_config,
    }
)


def _write_json(path: Path | None, report: Any) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2))


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end, or until SIGINT, SIGTERM or SIGHUP has undone everything."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_stoppable(main))


async def _stoppable(main: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await main


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
