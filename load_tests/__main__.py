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
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import uvloop
import yaml
from rich.console import Console

from load_tests import compare, single
from load_tests.compare import Settings
from load_tests.day.shape import Day
from load_tests.demo import Act, Demo, demo
from load_tests.drive import target
from load_tests.emulator.profiles import PROFILES
from load_tests.envoy_config import Address, standalone
from load_tests.fleet import GatewayPlan, Policy
from load_tests.measure import inference_perf
from load_tests.traces import BadTrace
from load_tests.workload import Shape, SharedPrefix
from load_tests.workloads import NAMES, named
from loadstar.clock import SystemClock

T = TypeVar("T")

INTERRUPTED, TERMINATED = 130, 143  # the shell's convention: 128 and the signal's number
PLAIN_WIDTH = 160
OTHERS = {
    "emulator": "emulated model servers",
    "overhead": "CPU, latency and throughput of endpoint pickers",
    "scaling": "the autoscaler's targets on real and synthetic weeks",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given and given[0] in OTHERS:
        # These have a command line of their own; `python -m load_tests.emulator` is the same.
        sys.argv = [f"python -m load_tests {given[0]}", *given[1:]]
        runpy.run_module(f"load_tests.{given[0]}", run_name="__main__", alter_sys=False)
        return 0
    arguments = _parser().parse_args(given)
    # A shell that starts us in the background has told us to ignore SIGINT; we stop on it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        # Leaving the scopes has stopped everything on the way here.
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except asyncio.CancelledError:
        print("stopped", file=sys.stderr)
        return TERMINATED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m load_tests", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_demo(commands)
    _add_compare(commands)
    _add_drive(commands)
    bench = commands.add_parser("bench", help="the benchmarks that argue for the design")
    bench.set_defaults(run=_bench)
    config = commands.add_parser("envoy-config", help="print manifests/envoy/standalone.yaml")
    config.set_defaults(run=_envoy_config)
    for name, purpose in OTHERS.items():
        commands.add_parser(name, help=f"{purpose}; --help lists its flags")
    return parser


Commands = Any  # argparse keeps the type of its subparsers private


def _add_demo(commands: Commands) -> None:
    usual = Demo()
    shown = commands.add_parser("demo", help="gateway and autoscaler, live, each against a rival")
    shown.add_argument(
        "--act", type=Act, choices=list(Act), help="only this one; else both", metavar="NAME"
    )
    shown.add_argument("--seconds", type=float, default=usual.settings.seconds, help="per policy")
    shown.add_argument("--servers", type=int, default=usual.settings.servers)
    shown.add_argument("--load", type=float, default=usual.settings.load, help=LOAD_HELP)
    shown.add_argument("--seed", type=int, default=usual.settings.seed)
    shown.add_argument(
        "--hours", type=_hours, default=usual.day, metavar="FROM-TO", help="of the day, as 6-12"
    )
    shown.add_argument(
        "--hpa-load", type=float, default=usual.hpa_load, help="of its replicas, as a share of 1"
    )
    shown.add_argument("--out", type=Path, default=usual.out, help="where the report goes")
    shown.add_argument("--keep", action="store_true", help="serve until Ctrl-C afterwards")
    shown.set_defaults(run=_demo)


def _add_compare(commands: Commands) -> None:
    usual = Settings()
    versus = commands.add_parser("compare", help="policies on the same fleet and workload")
    versus.add_argument(
        "--policies",
        type=_policies,
        default=usual.policies,
        help=f"of {', '.join(p.value for p in Policy)}, with commas",
    )
    versus.add_argument("--servers", type=int, default=usual.servers)
    versus.add_argument("--profile", choices=sorted(PROFILES), default=usual.profile)
    versus.add_argument(
        "--workload", type=_named, metavar="NAME", help=f"of {', '.join(NAMES)}; or as drive has it"
    )
    versus.add_argument("--load", type=float, default=usual.load, help=LOAD_HELP)
    versus.add_argument("--seconds", type=float, default=usual.seconds, help="per policy")
    versus.add_argument("--seed", type=int, default=usual.seed)
    versus.add_argument(
        "--speed", type=float, default=usual.speed, help="engine seconds per second"
    )
    versus.add_argument(
        "--config",
        type=_config,
        default=usual.gateway,
        metavar="FILE",
        help="an EndpointPickerConfig for Loadstar, instead of the default; it needs no discovery",
    )
    versus.add_argument("--json", type=Path, help="write all figures here")
    versus.add_argument("--logs", type=Path, help="keep configurations and logs here")
    versus.add_argument(
        "--assert", action="store_true", dest="hold", help="exit 1 unless the promises hold"
    )
    versus.set_defaults(run=_compare)


def _add_drive(commands: Commands) -> None:
    driven = commands.add_parser("drive", help="send a workload to a gateway that is already up")
    driven.add_argument("--to", type=_address, required=True, metavar="HOST:PORT")
    driven.add_argument("--model", default=compare.MODEL)
    driven.add_argument(
        "--workload",
        type=_named,
        default=SharedPrefix(),
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; mooncake:PATH and azure:PATH replay a trace's prompts",
    )
    driven.add_argument("--rate", type=float, default=10.0, help="requests per second")
    driven.add_argument("--cv", type=float, default=1.0, help="of the gaps; 1 is Poisson")
    driven.add_argument("--seconds", type=float, default=30.0)
    driven.add_argument("--seed", type=int, default=1)
    driven.add_argument("--json", type=Path, help="write inference-perf's summary here")
    driven.set_defaults(run=_drive)


LOAD_HELP = "share of the fleet's saturation under round robin"


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
    print(compare.render(settings, results))
    _write_json(arguments.json, compare.report(settings, workload, results))
    broken = compare.broken_promises(results) if arguments.hold else []
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


def _policies(text: str) -> tuple[Policy, ...]:
    return tuple(Policy(name) for name in text.split(","))


def _hours(text: str) -> Day:
    begin, _, end = text.partition("-")
    try:
        return Day(from_h=float(begin), to_h=float(end))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: hours are FROM-TO, as 6-12: {error}"
        ) from error


def _named(text: str) -> Shape:
    try:
        return named(text)
    except (KeyError, OSError, BadTrace) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _config(text: str) -> GatewayPlan:
    try:
        config = yaml.safe_load(Path(text).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not isinstance(config, dict):
        raise argparse.ArgumentTypeError(f"{text}: not an EndpointPickerConfig")
    return GatewayPlan(config)


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return Address(host.strip("[]"), int(port))


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
