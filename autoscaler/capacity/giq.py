"""Benchmarks of the GKE Inference Quickstart as measured points, by what was measured. Pure.

Reads the recommender's answers (``profiles:fetch``, ``benchmarkingData:fetch``) and what ``gcloud
container ai profiles benchmarks list --format=json`` prints. Its latencies are medians, its times
whole milliseconds. What a benchmark lacks is said; nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from autoscaler.capacity.bench import BadResult, BenchPoint

_NANOS: Final = 1e9
_MILLION: Final = 1e6
_OUTPUT_OVER_INPUT: Final = 4.0
"""How much dearer an output token is in the recommender's costs, unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What was measured."""

    model: str
    server: str
    version: str
    accelerator: str
    devices: int
    instance: str
    topology: str
    use_case: str

    def __str__(self) -> str:
        place = self.instance + (f" {self.topology}" if self.topology else "")
        case = f", {self.use_case}" if self.use_case else ""
        server = " ".join(word for word in (self.server, self.version) if word)
        return f"{self.model} on {self.accelerator}x{self.devices} ({place}), {server}{case}"


@dataclass(slots=True)
class Benchmark:
    """The points of one setup."""

    setup: Setup
    points: list[BenchPoint] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Points that cannot be used, and why."""
    price_per_hour: dict[str, float] = field(default_factory=dict)
    """Of the accelerators of one replica, in dollars, by pricing model."""


def read_benchmarks(
    documents: Iterable[object], *, input_tokens: float | None = None, place: str = "giq"
) -> list[Benchmark]:
    """The benchmarks in ``documents``, each setup once. Raises BadResult.

    ``input_tokens``: of the benchmarks' requests, where the answer does not say.
    """
    found: dict[Setup, Benchmark] = {}
    for document in documents:
        for index, profile in enumerate(profiles_in(document, place)):
            setup = _setup(profile, f"{place}: profile[{index}]")
            benchmark = found.setdefault(setup, Benchmark(setup))
            _add(benchmark, profile, input_tokens)
    for benchmark in found.values():
        benchmark.points.sort(key=lambda point: point.rate_rps)
    return list(found.values())


def profiles_in(document: object, place: str) -> Sequence[Mapping[str, Any]]:
    """The profiles of an answer, or of a list of them. Raises BadResult."""
    listed = document.get("profile", []) if isinstance(document, Mapping) else document
    if isinstance(document, Mapping) and "error" in document:
        raise BadResult(f"{place}: an error and no answer: {str(document['error'])[:200]}")
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise BadResult(f"{place}: neither an answer with profile: [...] nor a list of profiles")
    return listed


def _setup(profile: Mapping[str, Any], place: str) -> Setup:
    server = _mapping(profile, "modelServerInfo")
    model, accelerator = server.get("model"), profile.get("acceleratorType")
    if not isinstance(model, str) or not model:
        raise BadResult(f"{place}.modelServerInfo.model: is missing")
    if not isinstance(accelerator, str) or not accelerator:
        raise BadResult(f"{place}.acceleratorType: is missing")
    return Setup(
        model=model,
        server=str(server.get("modelServer", "")),
        version=str(server.get("modelServerVersion", "")),
        accelerator=accelerator,
        devices=max(1, int(_number(_mapping(profile, "resourcesUsed"), "acceleratorCount") or 1)),
        instance=str(profile.get("instanceType", "")),
        topology=str(profile.get("tpuTopology", "")),
        use_case=str(_mapping(profile, "workloadSpec").get("useCase", "")),
    )


def _add(benchmark: Benchmark, profile: Mapping[str, Any], input_tokens: float | None) -> None:
    workload = _mapping(profile, "workloadSpec")
    asked = _number(workload, "averageInputLength") or input_tokens
    told = _number(workload, "averageOutputLength")
    for stats in profile.get("performanceStats") or ():
        if not isinstance(stats, Mapping):
            benchmark.left_out.append("performanceStats: no mapping")
            continue
        point = _point(stats, asked, told)
        if isinstance(point, str):
            benchmark.left_out.append(point)
            continue
        benchmark.points.append(point)
        for cost in stats.get("cost") or ():
            _price(benchmark, cost, point)


def _point(stats: Mapping[str, Any], asked: float | None, told: float | None) -> BenchPoint | str:
    """One steady load, or why it is none."""
    if asked is None:
        return "workloadSpec.averageInputLength is missing: give --input-tokens"
    generated_tps = _number(stats, "outputTokensPerSecond")
    rate = _number(stats, "queriesPerSecond")
    if not rate and generated_tps and told:
        rate = generated_tps / told
    if not rate or not generated_tps:
        missing = "queriesPerSecond" if not rate else "outputTokensPerSecond"
        return f"performanceStats.{missing} is missing"
    output_tokens = generated_tps / rate
    ntpot_ms, ttft_ms = _number(stats, "ntpotMilliseconds"), _number(stats, "ttftMilliseconds")
    if not ntpot_ms or not ttft_ms:
        missing = "ntpotMilliseconds" if not ntpot_ms else "ttftMilliseconds"
        return f"performanceStats.{missing} is missing"
    latency_s, ttft_s = ntpot_ms * output_tokens / 1000.0, ttft_ms / 1000.0
    # NTPOT spreads the wait for the first token over all; without it the decoding is left.
    tpot_s = (latency_s - ttft_s) / max(output_tokens - 1.0, 1.0)
    if tpot_s <= 0:
        return f"its first token takes {ttft_ms:g} ms, longer than the whole of its requests"
    return BenchPoint(
        rate_rps=rate,
        input_tokens=asked,
        output_tokens=output_tokens,
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        latency_s=latency_s,
    )


def _price(benchmark: Benchmark, cost: object, point: BenchPoint) -> None:
    """Undo the sharing of an hour's price over tokens; the busiest load rounds least."""
    if not isinstance(cost, Mapping):
        return
    amount = _mapping(cost, "costPerMillionOutputTokens")
    dollars = (_number(amount, "units") or 0.0) + (_number(amount, "nanos") or 0.0) / _NANOS
    ratio = _number(cost, "outputInputCostRatio") or _OUTPUT_OVER_INPUT
    if dollars <= 0:
        return
    tokens = point.input_tokens / ratio + point.output_tokens
    price = dollars / _MILLION * point.rate_rps * tokens * 3600.0
    kind = str(cost.get("pricingModel") or "spot")
    busiest = max(each.rate_rps for each in benchmark.points)
    if point.rate_rps >= busiest or kind not in benchmark.price_per_hour:
        benchmark.price_per_hour[kind] = price


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _number(document: Mapping[str, Any], key: str) -> float | None:
    """A number that is not negative, also as the text that JSON has for 64 bits."""
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
