"""``loadstar profile fit|import|show|recommend``: what one replica can do.

``fit`` reads results of inference-perf and ``vllm bench serve`` and prints the profile to paste
into a policy. Decides nothing: the arithmetic is in ``autoscaler.capacity``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml

from autoscaler.capacity.bench import BadResult, read_point
from autoscaler.capacity.engine import Shape
from autoscaler.capacity.fit import CannotFit, fit
from autoscaler.capacity.profiles import SHIPPED, CapacityProfile, UnknownProfile, shipped
from autoscaler.capacity.recommend import Slo, recommend, sustainable
from autoscaler.commands import profile_import
from autoscaler.commands.profile_text import Wrong, json_of, seconds_of, written
from loadstar.config.document import read
from loadstar.config.errors import ConfigError, did_you_mean

MOST = 1e9
"""Of requests a second, or tokens of a request: more is a slip of the pen."""


def main(argv: Sequence[str]) -> int:
    """0 if there is an answer, 1 if there is none, 2 for a line or file to mend."""
    given = _parser().parse_args(argv)
    try:
        lines, status = COMMANDS[given.command](given)
    except (Wrong, BadResult, CannotFit, UnknownProfile, ConfigError) as error:
        sys.stderr.write(f"loadstar profile {given.command}: {error}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loadstar profile", description="What one replica can do within objectives."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    fits = commands.add_parser("fit", help="step times from a sweep of measured load")
    fits.add_argument(
        "results", nargs="+", type=Path, help="JSON results of one replica, a rate each"
    )
    imports = profile_import.add_to(commands)
    shows = commands.add_parser("show", help="the shipped profiles, or one of them")
    shows.add_argument("profile", nargs="?", default="")
    chooses = commands.add_parser("recommend", help="accelerator, replicas, HPA target and cost")
    chooses.add_argument("model")
    chooses.add_argument("--rate", type=float, required=True, help="requests a second, at the peak")
    chooses.add_argument("--prices", type=Path, help="YAML: an hour of one device, by accelerator")
    for one in (shows, chooses):
        one.add_argument("--input-tokens", type=float, default=1000.0)
        one.add_argument("--output-tokens", type=float, default=250.0)
        one.add_argument("--prefix-hit", type=float, default=0.0, help="share found in a cache")
        one.add_argument("--slo-ttft", default="2s", help="95th percentile")
    for one in (fits, imports, shows, chooses):
        one.add_argument("--slo-tpot", default="60ms", help="95th percentile")
        one.add_argument("--json", action="store_true")
    return parser


def _fit(given: argparse.Namespace) -> tuple[list[str], int]:
    points = [read_point(json_of(path), str(path)) for path in given.results]
    points.sort(key=lambda point: point.rate_rps)
    found = fit(points, seconds_of("--slo-tpot", given.slo_tpot))
    profile = written(found.profile)
    if given.json:
        body = {
            "profile": profile,
            "points": found.points,
            "meanError": found.mean_error,
            "mostDecoding": found.most_decoding,
        }
        return [orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()], 0
    return [
        f"# {found.points} results, mean error {found.mean_error:.1%}, "
        f"up to {found.most_decoding:.0f} sequences at once",
        yaml.safe_dump({"profile": profile}, sort_keys=False).rstrip(),
    ], 0


def _show(given: argparse.Namespace) -> tuple[list[str], int]:
    slo, shape = _slo(given), _shape(given)
    chosen = [shipped(given.profile)] if given.profile else list(SHIPPED.values())
    if given.json:
        rows = [_row(profile, slo, shape) for profile in chosen]
        return [orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode()], 0
    lines = [
        f"at {shape.input_tokens:g} + {shape.output_tokens:g} tokens, "
        f"TTFT {slo.ttft_s:g} s, TPOT {slo.tpot_s * 1000:g} ms:"
    ]
    for profile in chosen:
        row = _row(profile, slo, shape)
        can = row["why"] or f"{row['sustainableRps']:.2f} requests/s, batch {row['batch']}"
        lines.append(f"  {profile.key:<32}{can}  ({profile.confidence.value}: {profile.basis})")
    if given.profile:
        linear = chosen[0].engine.profile(shape, slo.tpot_s)
        if linear is not None:
            lines.append(yaml.safe_dump({"profile": written(linear)}, sort_keys=False).rstrip())
    return lines, 0


def _row(profile: CapacityProfile, slo: Slo, shape: Shape) -> dict[str, Any]:
    found = sustainable(profile, slo, shape)
    rate, batch = (None, None) if isinstance(found, str) else found
    return {
        "profile": profile.key,
        "sustainableRps": rate,
        "batch": batch,
        "why": found if isinstance(found, str) else "",
        "confidence": profile.confidence.value,
        "basis": profile.basis,
    }


def _recommend(given: argparse.Namespace) -> tuple[list[str], int]:
    if not 0 < given.rate <= MOST:
        raise Wrong(f"--rate {given.rate:g} must be more than 0, and at most {MOST:g}")
    models = {profile.model for profile in SHIPPED.values()}
    if given.model not in models:
        known = ", ".join(sorted(models))
        hint = did_you_mean(given.model, models)
        raise Wrong(f"no profile of {given.model}{hint} (there are {known}); measure and `fit` one")
    slo, shape = _slo(given), _shape(given)
    prices = _prices(given.prices)
    for remark in _of_nothing(prices):
        sys.stderr.write(f"loadstar profile recommend: {given.prices}: {remark}\n")
    fits, unfit = recommend(given.model, slo, given.rate, shape, prices=prices)
    if given.json:
        rows = [
            {
                "profile": each.profile,
                "accelerator": each.accelerator,
                "devicesPerReplica": each.devices_per_replica,
                "replicas": each.replicas,
                "sustainableRps": each.sustainable_rps,
                "hpaTargetRps": each.hpa_target_rps,
                "batch": each.batch,
                "costPerHour": each.cost_per_hour,
                "confidence": each.confidence.value,
            }
            for each in fits
        ]
        refused = [{"profile": each.profile, "why": each.why} for each in unfit]
        body = {"recommendations": rows, "unfit": refused}
        return [orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()], 0 if fits else 1
    lines = [
        f"{given.model} at {given.rate:g} requests/s of {shape.input_tokens:g} + "
        f"{shape.output_tokens:g} tokens, TTFT {slo.ttft_s:g} s, TPOT {slo.tpot_s * 1000:g} ms:"
    ]
    for each in fits:
        cost = "no price given" if each.cost_per_hour is None else f"{each.cost_per_hour:.2f}/h"
        lines.append(
            f"  {each.replicas} x {each.accelerator}x{each.devices_per_replica}: {cost}, "
            f"HPA target {each.hpa_target_rps:.2f} requests/s a replica, batch {each.batch} "
            f"({each.confidence.value} confidence)"
        )
    lines += [f"  not {each.profile}: {each.why}" for each in unfit]
    return lines, 0 if fits else 1


def _slo(given: argparse.Namespace) -> Slo:
    return Slo(
        ttft_s=seconds_of("--slo-ttft", given.slo_ttft),
        tpot_s=seconds_of("--slo-tpot", given.slo_tpot),
    )


def _shape(given: argparse.Namespace) -> Shape:
    tokens = (given.input_tokens, given.output_tokens)
    if not (all(0 < each <= MOST for each in tokens) and 0 <= given.prefix_hit <= 1):
        raise Wrong(
            "--input-tokens and --output-tokens must be above 0, "
            f"and at most {MOST:g}; --prefix-hit in 0..1"
        )
    return Shape(
        input_tokens=given.input_tokens,
        output_tokens=given.output_tokens,
        prefix_hit=given.prefix_hit,
    )


def _prices(path: Path | None) -> dict[str, float]:
    """An hour of one device, by accelerator; none where no file is given. Raises Wrong."""
    if path is None:
        return {}
    try:
        found = read(path.read_bytes())
    except OSError as error:
        raise Wrong(f"{path}: {error.strerror}") from error
    except ConfigError as error:
        raise Wrong(f"{path}: {error}") from error
    if not isinstance(found, dict) or not all(
        isinstance(each, int | float) and not isinstance(each, bool) and 0 <= each < math.inf
        for each in found.values()
    ):
        raise Wrong(f"{path}: must be a mapping of accelerators to prices an hour")
    return {name: float(str(price)) for name, price in found.items()}


def _of_nothing(prices: Iterable[str]) -> list[str]:
    """Which of ``prices`` are of no accelerator that a shipped profile has: remarks for people.

    No errors: one list of prices may serve more than what is shipped here.
    """
    known = sorted({profile.accelerator for profile in SHIPPED.values()})
    there_are = f" (there are {', '.join(known)})"
    return [
        f"{name}: no shipped profile is of it{did_you_mean(name, known) or there_are}"
        for name in prices
        if name not in known
    ]


COMMANDS = {"fit": _fit, "import": profile_import.run, "show": _show, "recommend": _recommend}
