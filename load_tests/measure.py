"""From samples to numbers: quantiles, goodput, intervals, and inference-perf's report. Pure.

Raw samples and numpy quantiles; a run has thousands of requests, not millions. TPOT is
``(e2e - ttft) / (n - 1)``, as inference-perf and vLLM's benchmark define it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from loadstar.arrays import Floats

Report: TypeAlias = dict[str, Any]

# Names and order of inference-perf's summary blocks.
QUANTILES: Mapping[str, float] = MappingProxyType(
    {
        "p0.1": 0.1,
        "p1": 1,
        "p5": 5,
        "p10": 10,
        "p25": 25,
        "median": 50,
        "p75": 75,
        "p90": 90,
        "p95": 95,
        "p99": 99,
        "p99.9": 99.9,
    }
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What became of one request. Times in seconds on one clock; None is 'never happened'."""

    scheduled_at: float
    sent_at: float
    first_at: float | None
    """First piece of the answer with a token in it."""
    ended_at: float
    status: int
    """HTTP status; 0 if the connection failed."""
    error: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    served_by: str = ""
    group: int = -1
    request_bytes: int = 0
    gaps_s: tuple[float, ...] = ()
    """Between pieces with tokens; several in one read of the socket have 0 between them."""

    @property
    def ok(self) -> bool:
        """Answered 200, to the end, with at least one token."""
        return self.status == 200 and not self.error and self.first_at is not None

    @property
    def delay_s(self) -> float:
        """How late the client sent it: its own lag, none of the server's."""
        return self.sent_at - self.scheduled_at

    @property
    def ttft_s(self) -> float:
        """From sending to the first token; NaN if none came."""
        return np.nan if self.first_at is None else self.first_at - self.sent_at

    @property
    def e2e_s(self) -> float:
        return self.ended_at - self.sent_at

    @property
    def tpot_s(self) -> float:
        """Seconds per output token after the first; NaN with fewer than two."""
        if self.first_at is None or self.output_tokens is None or self.output_tokens < 2:
            return np.nan
        return (self.ended_at - self.first_at) / (self.output_tokens - 1)


@dataclass(frozen=True, slots=True)
class Slo:
    """A service class: what a request must meet to count as good."""

    name: str
    ttft_s: float
    tpot_s: float

    def at(self, speed: float) -> Slo:
        """The same class by the clock of engines that run ``speed`` times as fast as real ones."""
        return Slo(self.name, self.ttft_s / speed, self.tpot_s / speed)


# Of the inference-perf workload catalogue; times are those of the model server.
SLO_CLASSES = (
    Slo("interactive-chat", ttft_s=1.0, tpot_s=0.050),
    Slo("reasoning", ttft_s=2.0, tpot_s=0.100),
    Slo("code-generation", ttft_s=30.0, tpot_s=0.100),
)


def goodput(samples: Sequence[Sample], slo: Slo) -> float:
    """The share of all requests, failed ones included, that met ``slo``; NaN of none."""
    if not samples:
        return np.nan
    good = sum(s.ok and s.ttft_s <= slo.ttft_s and not s.tpot_s > slo.tpot_s for s in samples)
    return good / len(samples)


def quantile(values: Sequence[float] | Floats, percent: float) -> float:
    """A quantile of the values that are numbers; NaN of none."""
    numbers = _numbers(values)
    return float(np.percentile(numbers, percent)) if numbers.size else np.nan


def mean(values: Sequence[float] | Floats) -> float:
    """The mean of the values that are numbers; NaN of none."""
    numbers = _numbers(values)
    return float(numbers.mean()) if numbers.size else np.nan


def hit_share(samples: Sequence[Sample]) -> float:
    """Cached prompt tokens over prompt tokens, of the requests that reported both; NaN of none."""
    told = [
        (s.cached_tokens, s.prompt_tokens)
        for s in samples
        if s.cached_tokens is not None and s.prompt_tokens is not None
    ]
    prompt = sum(p for _, p in told)
    return sum(c for c, _ in told) / prompt if prompt else np.nan


def served_spread(samples: Sequence[Sample], servers: int) -> float:
    """Requests of the busiest server over the mean of ``servers``: 1 is even. NaN of none."""
    served = Counter(s.served_by for s in samples if s.served_by)
    return max(served.values()) * servers / served.total() if served else np.nan


def bootstrap(
    ours: Sequence[float] | Floats,
    theirs: Sequence[float] | Floats,
    statistic: Callable[[Floats], float],
    *,
    seed: int,
    rounds: int = 1000,
) -> tuple[float, float]:
    """A 95 % interval of ``statistic(ours) / statistic(theirs)``, by resampling both."""
    rng = np.random.default_rng(seed)
    a, b = _numbers(ours), _numbers(theirs)
    if not a.size or not b.size:
        return np.nan, np.nan
    ratios = [
        statistic(rng.choice(a, a.size)) / statistic(rng.choice(b, b.size)) for _ in range(rounds)
    ]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def inference_perf(samples: Sequence[Sample], requested_rate: float) -> Report:
    """A run under the keys of inference-perf's ``summary_lifecycle_metrics.json``, in seconds.

    Keys of modalities we do not drive (images, audio, video) are left out.
    """
    ok = [s for s in samples if s.ok]
    failed = [s for s in samples if not s.ok]
    began = min((s.sent_at for s in samples), default=0.0)
    sending = max((s.sent_at for s in samples), default=0.0) - began
    took = max((s.ended_at for s in samples), default=0.0) - began
    prompt = [s.prompt_tokens for s in ok if s.prompt_tokens is not None]
    cached = sum(s.cached_tokens or 0 for s in ok)
    output = [s.output_tokens for s in ok if s.output_tokens is not None]
    return {
        "benchmark_time_seconds": took,
        "load_summary": {
            "count": len(samples),
            "schedule_delay": summary([s.delay_s for s in samples]),
            "send_duration": sending,
            "requested_rate": requested_rate,
            "achieved_rate": _rate(len(samples), sending),
        },
        "successes": {
            "count": len(ok),
            "latency": {
                "request_latency": summary([s.e2e_s for s in ok]),
                "normalized_time_per_output_token": summary(
                    [s.e2e_s / s.output_tokens for s in ok if s.output_tokens]
                ),
                "time_per_output_token": summary([s.tpot_s for s in ok]),
                "time_to_first_token": summary([s.ttft_s for s in ok]),
                "inter_token_latency": summary([gap for s in ok for gap in s.gaps_s]),
            },
            "throughput": {
                "input_tokens_per_sec": _rate(sum(prompt), took),
                "output_tokens_per_sec": _rate(sum(output), took),
                "total_tokens_per_sec": _rate(sum(prompt) + sum(output), took),
                "requests_per_sec": _rate(len(ok), took),
            },
            "request_size_bytes": summary([s.request_bytes for s in ok]),
            "prompt_tokens": {
                "total": sum(prompt),
                "cached": cached,
                "uncached": sum(prompt) - cached,
                **(summary(prompt) or {}),
            },
            "output_len": summary(output),
            "output_tokens": {"total": sum(output), **(summary(output) or {})},
        },
        "failures": {
            "count": len(failed),
            "request_latency": summary([s.e2e_s for s in failed]),
            "prompt_tokens": {"total": sum(s.prompt_tokens or 0 for s in failed)},
            "by_label": dict(Counter(label(s) for s in failed)),
        },
    }


def label(sample: Sample) -> str:
    """What to call a failure: its status, else what the connection did."""
    if sample.error:
        return sample.error
    return f"HTTP {sample.status}" if sample.status != 200 else "no token"


def summary(values: Sequence[float]) -> Report | None:
    """Mean, extremes and quantiles of the values that are numbers; None of none."""
    numbers = _numbers(values)
    if not numbers.size:
        return None
    quantiles = np.percentile(numbers, list(QUANTILES.values()))
    return {
        "mean": float(numbers.mean()),
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        **dict(zip(QUANTILES, map(float, quantiles), strict=True)),
    }


def _rate(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else np.nan


def _numbers(values: Sequence[float] | Floats) -> Floats:
    array = np.asarray(values, np.float64)
    return array[~np.isnan(array)]
