"""Result files of load generators as measured points: inference-perf and ``vllm bench serve``.

Told apart by their keys. What a file lacks is an error that names the key; nothing is guessed.
Pure: documents in, points out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast


class BadResult(ValueError):
    """A result file that cannot be used; the message names the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPoint:
    """One steady stage of load on one replica."""

    rate_rps: float  # completed requests a second
    input_tokens: float
    output_tokens: float
    ttft_s: float  # median
    tpot_s: float  # mean, without the first token
    latency_s: float  # mean, end to end
    ttft_p95_s: float | None = None
    tpot_p95_s: float | None = None
    model: str = ""
    """What was asked for, where the file says so."""

    def decoding(self) -> float:
        """Mean sequences that decode at once, by Little's law."""
        return self.rate_rps * self.tpot_s * max(self.output_tokens - 1.0, 0.0)


def read_point(document: object, place: str = "") -> BenchPoint:
    """The point of a result document. Raises BadResult."""
    if not isinstance(document, Mapping):
        raise BadResult(f"{place or 'result'}: must be a JSON object")
    if "successes" in document:
        return _inference_perf(document, place)
    if "request_throughput" in document:
        return _vllm_bench(document, place)
    raise BadResult(
        f"{place or 'result'}: neither inference-perf (successes) nor vllm bench serve "
        "(request_throughput)"
    )


def _vllm_bench(document: Mapping[str, object], place: str) -> BenchPoint:
    completed = _number(document, "completed", place)
    _check_clean(completed, document.get("failed", 0), place)
    tpot_ms = _number(document, "mean_tpot_ms", place)
    return BenchPoint(
        rate_rps=_number(document, "request_throughput", place),
        input_tokens=_number(document, "total_input_tokens", place) / completed,
        output_tokens=_number(document, "total_output_tokens", place) / completed,
        ttft_s=_number(document, "median_ttft_ms", place) / 1000.0,
        tpot_s=tpot_ms / 1000.0,
        latency_s=_latency_s(document, place),
        ttft_p95_s=_milliseconds(document, "p95_ttft_ms"),
        tpot_p95_s=_milliseconds(document, "p95_tpot_ms"),
        model=str(document.get("model_id") or ""),
    )


def _check_clean(completed: float, failed: object, place: str) -> None:
    if completed <= 0:
        raise BadResult(f"{place}: no request completed")
    if isinstance(failed, int | float) and failed > 0.01 * completed:
        raise BadResult(f"{place}: {failed:g} requests failed; a profile needs a clean run")


def _latency_s(document: Mapping[str, object], place: str) -> float:
    said = _milliseconds(document, "mean_e2el_ms")  # only where e2el was asked for
    if said is not None:
        return said
    tokens = _number(document, "total_output_tokens", place) / _number(document, "completed", place)
    ttft_ms, tpot_ms = (_number(document, f"mean_{name}_ms", place) for name in ("ttft", "tpot"))
    return (ttft_ms + tpot_ms * max(tokens - 1.0, 0.0)) / 1000.0


def _inference_perf(document: Mapping[str, object], place: str) -> BenchPoint:
    successes = _within(document, "successes", place)
    failures = document.get("failures")
    failed = failures.get("count", 0) if isinstance(failures, Mapping) else 0
    if "count" in successes:
        _check_clean(_number(successes, "count", f"{place}.successes"), failed, place)
    latency = _within(successes, "latency", f"{place}.successes")
    throughput = _within(successes, "throughput", f"{place}.successes")
    at = f"{place}.successes.latency"
    rate = _number(throughput, "requests_per_sec", f"{place}.successes.throughput")
    if rate <= 0:
        raise BadResult(f"{place}: no request completed")
    tpot = _within(latency, "time_per_output_token", at)
    ttft = _within(latency, "time_to_first_token", at)
    return BenchPoint(
        rate_rps=rate,
        input_tokens=_number(throughput, "input_tokens_per_sec", place) / rate,
        output_tokens=_number(throughput, "output_tokens_per_sec", place) / rate,
        ttft_s=_number(ttft, "median", f"{at}.time_to_first_token"),
        tpot_s=_number(tpot, "mean", f"{at}.time_per_output_token"),
        latency_s=_number(_within(latency, "request_latency", at), "mean", at),
        ttft_p95_s=_seconds(ttft, "p95"),
        tpot_p95_s=_seconds(tpot, "p95"),
    )


def _within(document: Mapping[str, object], key: str, place: str) -> Mapping[str, object]:
    value = document.get(key)
    if not isinstance(value, Mapping):
        hint = "; run with streaming on" if key.startswith("time_") else ""
        raise BadResult(f"{place}.{key}: is missing{hint}")
    return cast("Mapping[str, object]", value)


def _number(document: Mapping[str, object], key: str, place: str) -> float:
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value < 0:
        raise BadResult(f"{place}.{key}: must be a number, not {value!r}"[:300])
    return float(value)


def _seconds(document: Mapping[str, object], key: str) -> float | None:
    """None where a percentile was not asked for."""
    value = document.get(key)
    return float(value) if isinstance(value, int | float) else None


def _milliseconds(document: Mapping[str, object], key: str) -> float | None:
    value = _seconds(document, key)
    return None if value is None else value / 1000.0
