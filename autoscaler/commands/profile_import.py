"""``loadstar profile import giq``: profiles from what Google measured for its Inference Quickstart.

Asks the recommender as the application-default credentials, or reads answers that were saved.
Every setup that was measured at enough rates becomes a profile; of the others it says why not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from autoscaler.capacity.fit import CannotFit, Fit, fit
from autoscaler.capacity.giq import Benchmark, profiles_in, read_benchmarks
from autoscaler.commands.giq_api import Giq, Refused, session_for
from autoscaler.commands.profile_text import Wrong, json_of, seconds_of, written
from loadstar.config.errors import did_you_mean

PRICING: Final = ("on-demand", "spot", "1-year-cud", "3-years-cud")
_BRANDS: Final = ("nvidia-tesla-", "nvidia-")
"""What accelerators are called before their own names."""


def add_to(commands: Any) -> argparse.ArgumentParser:
    """Add ``import`` to the parser of commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "import", help="profiles from others' measurements"
    )
    parser.add_argument("source", choices=["giq"], help="the GKE Inference Quickstart")
    parser.add_argument("--model", default="", help="owner/name, as at Hugging Face")
    parser.add_argument("--accelerator", default="", help="nvidia-l4, or l4; all unless given")
    parser.add_argument("--model-server", default="", help="vllm, jetstream, ...; all unless given")
    parser.add_argument("--server-version", default="", help="all unless given")
    parser.add_argument("--input-tokens", type=float, help="where the answer does not say")
    parser.add_argument("--pricing", choices=PRICING, default=PRICING[0], help="of the prices told")
    parser.add_argument("--project", default="", help="billed for the questions; else your own")
    parser.add_argument(
        "--from",
        dest="saved",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="answers saved as JSON, instead of asking",
    )
    return parser


def run(given: argparse.Namespace, api: Giq | None = None) -> tuple[list[str], int]:
    """What to print, and 0 if there is a profile, else 1. Raises Wrong, BadResult."""
    if given.input_tokens is not None and not given.input_tokens > 0:
        raise Wrong("--input-tokens: must be more than 0")
    tpot_s = seconds_of("--slo-tpot", given.slo_tpot)
    if given.saved:
        found: list[Benchmark] = []
        for path in given.saved:
            found += read_benchmarks(
                [json_of(path)], input_tokens=given.input_tokens, place=str(path)
            )
    else:
        try:
            documents = _asked(given, api or Giq(session_for(given.project)))
        except Refused as error:
            raise Wrong(str(error)) from None
        found = read_benchmarks(documents, input_tokens=given.input_tokens)
    chosen = [each for each in found if _is_wanted(each, given)]
    if not chosen:
        there = sorted({f"{b.setup.model} on {b.setup.accelerator}" for b in found})
        raise Wrong(f"nothing was measured of that (there are: {', '.join(there) or 'none'})")
    fits = [(each, _fitted(each, tpot_s)) for each in chosen]
    good = any(isinstance(made, Fit) for _, made in fits)
    lines = [_json(fits)] if given.json else _text(fits, given.pricing)
    return lines, 0 if good else 1


def _asked(given: argparse.Namespace, api: Giq) -> list[object]:
    if not given.model:
        raise Wrong("--model: is missing; which one?")
    answers = api.profiles(given.model, given.model_server, given.server_version)
    profiles = [each for answer in answers for each in profiles_in(answer, "profiles:fetch")]
    if not profiles:
        known = api.models()
        hint = did_you_mean(given.model, known)
        raise Wrong(f"--model {given.model}: not measured{hint} ({len(known)} models are)")
    infos: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for profile in profiles:
        if not _is_called(str(profile.get("acceleratorType", "")), given.accelerator):
            continue
        info = {str(k): str(v) for k, v in (profile.get("modelServerInfo") or {}).items()}
        infos[tuple(sorted(info.items()))] = info
    if not infos:
        return list(answers)
    return [api.benchmarks(info, given.pricing) for info in infos.values()]


def _is_wanted(benchmark: Benchmark, given: argparse.Namespace) -> bool:
    setup = benchmark.setup
    return (
        given.model in ("", setup.model)
        and given.model_server in ("", setup.server)
        and given.server_version in ("", setup.version)
        and _is_called(setup.accelerator, given.accelerator)
    )


def _is_called(accelerator: str, name: str) -> bool:
    """Whether ``name`` is ``accelerator``, with or without its maker; "" is any."""
    return name in ("", accelerator) or accelerator in {f"{brand}{name}" for brand in _BRANDS}


def _fitted(benchmark: Benchmark, tpot_s: float) -> Fit | str:
    try:
        return fit(benchmark.points, tpot_s)
    except CannotFit as error:
        left_out = "; ".join(sorted(set(benchmark.left_out)))
        return f"{error} ({left_out})" if left_out else str(error)


def _text(fits: Sequence[tuple[Benchmark, Fit | str]], pricing: str) -> list[str]:
    lines: list[str] = []
    for benchmark, made in fits:
        if isinstance(made, str):
            lines.append(f"# not {benchmark.setup}: {made}")
            continue
        shape = benchmark.points[0]
        price = benchmark.price_per_hour.get(pricing)
        told = "" if price is None else f"; {price:.2f} dollars/h {pricing}"
        lines += [
            "---",
            f"# {benchmark.setup}, {shape.input_tokens:g} + {shape.output_tokens:.0f} tokens:",
            f"# {made.points} results, mean error {made.mean_error:.1%}, "
            f"up to {made.most_decoding:.0f} sequences at once{told}",
            yaml.safe_dump({"profile": written(made.profile)}, sort_keys=False).rstrip(),
        ]
    return lines


def _json(fits: Sequence[tuple[Benchmark, Fit | str]]) -> str:
    rows: list[dict[str, object]] = []
    for benchmark, made in fits:
        setup = benchmark.setup
        row: dict[str, object] = {
            "model": setup.model,
            "modelServer": setup.server,
            "modelServerVersion": setup.version,
            "accelerator": setup.accelerator,
            "devicesPerReplica": setup.devices,
            "instanceType": setup.instance,
            "tpuTopology": setup.topology,
            "useCase": setup.use_case,
            "pricePerHour": {k: round(v, 4) for k, v in benchmark.price_per_hour.items()},
            "leftOut": benchmark.left_out,
        }
        if isinstance(made, str):
            row |= {"profile": None, "why": made}
        else:
            row |= {
                "profile": written(made.profile),
                "points": made.points,
                "meanError": made.mean_error,
                "mostDecoding": made.most_decoding,
            }
        rows.append(row)
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode()
