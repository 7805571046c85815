"""The flags of ``python -m load_tests``: text -> arguments, or a word on what is wrong with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from load_tests import words
from load_tests.compare import MODEL, Settings
from load_tests.day.shape import Day
from load_tests.demo import Act, Demo
from load_tests.emulator.profiles import PROFILES
from load_tests.envoy_config import Address
from load_tests.fleet import GatewayPlan, Policy
from load_tests.traces import BadTrace
from load_tests.workload import Shape, SharedPrefix
from load_tests.workloads import NAMES, named

DESCRIPTION = (
    "``python -m load_tests``: demo, compare, drive, bench, emulator, overhead, envoy-config."
)
OTHERS = {
    "emulator": "emulated model servers",
    "overhead": "CPU, latency and throughput of endpoint pickers",
    "scaling": "the autoscaler's targets on real and synthetic weeks",
}
"""Commands with a command line of their own."""
LOAD_HELP = "share of the fleet's saturation under round robin"


def parser() -> argparse.ArgumentParser:
    """``run`` of what it parses is the name of the command."""
    parser = argparse.ArgumentParser("python -m load_tests", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_demo(commands)
    _add_compare(commands)
    _add_drive(commands)
    bench = commands.add_parser("bench", help="the benchmarks that argue for the design")
    bench.set_defaults(run="bench")
    config = commands.add_parser("envoy-config", help="print manifests/envoy/standalone.yaml")
    config.set_defaults(run="envoy-config")
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
    shown.add_argument(
        "--seconds", type=words.positive, default=usual.settings.seconds, help="per policy"
    )
    shown.add_argument("--servers", type=words.count, default=usual.settings.servers)
    shown.add_argument("--load", type=words.positive, default=usual.settings.load, help=LOAD_HELP)
    shown.add_argument("--seed", type=words.seed, default=usual.settings.seed)
    shown.add_argument(
        "--hours", type=_hours, default=usual.day, metavar="FROM-TO", help="of the day, as 6-12"
    )
    shown.add_argument(
        "--hpa-load",
        type=words.positive,
        default=usual.hpa_load,
        help="of its replicas, as a share of 1",
    )
    shown.add_argument("--out", type=Path, default=usual.out, help="where the report goes")
    shown.add_argument("--keep", action="store_true", help="serve until Ctrl-C afterwards")
    shown.set_defaults(run="demo")


def _add_compare(commands: Commands) -> None:
    usual = Settings()
    versus = commands.add_parser("compare", help="policies on the same fleet and workload")
    versus.add_argument(
        "--policies",
        type=_policies,
        default=usual.policies,
        help=f"of {', '.join(p.value for p in Policy)}, with commas",
    )
    versus.add_argument("--servers", type=words.count, default=usual.servers)
    versus.add_argument("--profile", choices=sorted(PROFILES), default=usual.profile)
    versus.add_argument(
        "--workload", type=_named, metavar="NAME", help=f"of {', '.join(NAMES)}; or as drive has it"
    )
    versus.add_argument("--load", type=words.positive, default=usual.load, help=LOAD_HELP)
    versus.add_argument("--seconds", type=words.positive, default=usual.seconds, help="per policy")
    versus.add_argument("--seed", type=words.seed, default=usual.seed)
    versus.add_argument(
        "--speed", type=words.positive, default=usual.speed, help="engine seconds per second"
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
    versus.set_defaults(run="compare")


def _add_drive(commands: Commands) -> None:
    driven = commands.add_parser("drive", help="send a workload to a gateway that is already up")
    driven.add_argument("--to", type=_address, required=True, metavar="HOST:PORT")
    driven.add_argument("--model", default=MODEL)
    driven.add_argument(
        "--workload",
        type=_named,
        default=SharedPrefix(),
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; mooncake:PATH and azure:PATH replay a trace's prompts",
    )
    driven.add_argument("--rate", type=words.positive, default=10.0, help="requests per second")
    driven.add_argument("--cv", type=words.positive, default=1.0, help="of the gaps; 1 is Poisson")
    driven.add_argument("--seconds", type=words.positive, default=30.0)
    driven.add_argument("--seed", type=words.seed, default=1)
    driven.add_argument("--json", type=Path, help="write inference-perf's summary here")
    driven.set_defaults(run="drive")


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
    host, colon, number = text.rpartition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return Address(host.strip("[]"), words.port(number))
