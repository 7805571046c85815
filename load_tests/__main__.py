"""``python -m load_tests``: demo, compare, drive, bench, emulator, envoy-config."""

from __future__ import annotations

import argparse
import asyncio
import json
import runpy
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from load_tests import compare
from load_tests.compare import Settings
from load_tests.emulator.profiles import PROFILES
from load_tests.envoy_config import standalone
from load_tests.fleet import Policy
from loadstar.clock import SystemClock

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["emulator"]:
        # It has its own command line; `python -m load_tests.emulator` is the same.
        sys.argv = ["emulator", *given[1:]]
        runpy.run_module("load_tests.emulator", run_name="__main__")
        return 0
    arguments = _parser().parse_args(given)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        # Everything was stopped on the way here; the shell's convention for a Ctrl-C.
        print("stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m load_tests", description=__doc__)
    usual = Settings()
    commands = parser.add_subparsers(required=True, metavar="command")

    versus = commands.add_parser("compare", help="policies on the same fleet and workload")
    versus.add_argument("--policies", type=_policies, default=usual.policies)
    versus.add_argument("--servers", type=int, default=usual.servers)
    versus.add_argument("--profile", choices=sorted(PROFILES), default=usual.profile)
    versus.add_argument("--load", type=float, default=usual.load, help="share of saturation")
    versus.add_argument("--seconds", type=float, default=usual.seconds, help="per policy")
    versus.add_argument("--seed", type=int, default=usual.seed)
    versus.add_argument(
        "--speed", type=float, default=usual.speed, help="engine seconds per second"
    )
    versus.add_argument("--json", type=Path, help="write all figures here")
    versus.add_argument("--logs", type=Path, help="keep configurations and logs here")
    versus.add_argument(
        "--assert", action="store_true", dest="hold", help="exit 1 unless the promises hold"
    )
    versus.set_defaults(run=_compare)

    config = commands.add_parser("envoy-config", help="print manifests/envoy/standalone.yaml")
    config.set_defaults(run=_envoy_config)

    commands.add_parser("emulator", help="emulated model servers; --help lists its flags")
    return parser


def _compare(arguments: argparse.Namespace) -> int:
    settings = Settings(
        policies=arguments.policies,
        servers=arguments.servers,
        profile=arguments.profile,
        load=arguments.load,
        seconds=arguments.seconds,
        seed=arguments.seed,
        speed=arguments.speed,
        logs=arguments.logs,
    )
    workload, results = _run(compare.compare(settings, SystemClock(), _say))
    print(compare.render(settings, results))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(compare.report(workload, results), indent=2))
    broken = compare.broken_promises(results) if arguments.hold else []
    for promise in broken:
        print(f"FAILED: {promise}", file=sys.stderr)
    return 1 if broken else 0


def _envoy_config(_: argparse.Namespace) -> int:
    print(standalone(), end="")
    return 0


def _policies(text: str) -> tuple[Policy, ...]:
    return tuple(Policy(name) for name in text.split(","))


def _run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
