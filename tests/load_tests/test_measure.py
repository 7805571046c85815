"""Numbers from samples: what counts, what does not, and under which names it is reported."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.measure import (
    QUANTILES,
    SLO_CLASSES,
    Sample,
    Slo,
    bootstrap,
    goodput,
    hit_share,
    inference_perf,
    label,
    mean,
    quantile,
    served_spread,
    summary,
)

CHAT = Slo("chat", ttft_s=1.0, tpot_s=0.05)


def sample(
    *,
    at: float = 0.0,
    late: float = 0.0,
    ttft: float | None = 0.5,
    e2e: float = 1.0,
    status: int = 200,
    error: str = "",
    prompt: int | None = 100,
    cached: int | None = 40,
    output: int | None = 11,
    served_by: str = "a",
) -> Sample:
    sent = at + late
    return Sample(
        scheduled_at=at,
        sent_at=sent,
        first_at=None if ttft is None else sent + ttft,
        ended_at=sent + e2e,
        status=status,
        error=error,
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        served_by=served_by,
        gaps_s=(0.05,) * 10,
    )


def test_tpot_counts_the_tokens_after_the_first() -> None:
    assert sample(ttft=0.5, e2e=1.0, output=11).tpot_s == pytest.approx(0.05)


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(sample(output=1).tpot_s, id="one token has no gap"),
        pytest.param(sample(output=None).tpot_s, id="no usage, no TPOT"),
        pytest.param(sample(ttft=None).ttft_s, id="no first token, no TTFT"),
        pytest.param(quantile([], 99), id="no values, no quantile"),
        pytest.param(mean([]), id="no values, no mean"),
        pytest.param(goodput([], CHAT), id="no requests, no goodput"),
        pytest.param(hit_share([sample(cached=None)]), id="not reported, no hits"),
        pytest.param(served_spread([sample(served_by="")], 4), id="nobody said who served"),
    ],
)
def test_what_is_not_known_is_nan_and_never_zero(unknown: float) -> None:
    assert math.isnan(unknown)


@pytest.mark.parametrize(
    ("one", "good"),
    [
        pytest.param(sample(ttft=0.5, e2e=1.0), 1.0, id="within both"),
        pytest.param(sample(ttft=1.1, e2e=1.5), 0.0, id="first token too late"),
        pytest.param(sample(ttft=0.5, e2e=2.0), 0.0, id="tokens too far apart"),
        pytest.param(sample(ttft=0.5, output=1), 1.0, id="one token has no TPOT to miss"),
        pytest.param(sample(status=503, ttft=None), 0.0, id="refused"),
        pytest.param(sample(error="timeout"), 0.0, id="cut off"),
    ],
)
def test_goodput(one: Sample, good: float) -> None:
    assert goodput([one], CHAT) == good


def test_failures_count_against_goodput() -> None:
    assert goodput([sample(), sample(status=500, ttft=None)], CHAT) == 0.5


def test_hits_are_shares_of_tokens_not_of_requests() -> None:
    samples = [sample(prompt=900, cached=0), sample(prompt=100, cached=100)]
    assert hit_share(samples) == 0.1


def test_spread_is_the_busiest_over_the_mean() -> None:
    samples = [sample(served_by=name) for name in "aaab"]
    assert served_spread(samples, 2) == 1.5
    assert served_spread(samples, 4) == 3.0


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_summary_is_ordered_and_has_inference_perfs_keys(values: list[float]) -> None:
    found = summary(values)
    assert found is not None
    assert list(found) == ["mean", "min", "max", *QUANTILES]
    steps = [found["min"], *(found[name] for name in QUANTILES), found["max"]]
    assert all(a <= b + 1e-6 for a, b in itertools.pairwise(steps))


def test_nan_is_left_out_of_a_summary() -> None:
    assert summary([1.0, math.nan]) == summary([1.0])
    assert summary([math.nan]) is None


def test_the_report_has_inference_perfs_shape() -> None:
    samples = [
        *(sample(at=float(i), late=0.01) for i in range(10)),
        sample(at=10, status=503, ttft=None, prompt=None, cached=None, output=None),
    ]
    report = inference_perf(samples, requested_rate=1.0)
    assert set(report) == {"benchmark_time_seconds", "load_summary", "successes", "failures"}
    assert set(report["load_summary"]) == {
        "count",
        "schedule_delay",
        "send_duration",
        "requested_rate",
        "achieved_rate",
    }
    successes = report["successes"]
    assert set(successes["latency"]) == {
        "request_latency",
        "normalized_time_per_output_token",
        "time_per_output_token",
        "time_to_first_token",
        "inter_token_latency",
    }
    assert report["load_summary"]["schedule_delay"]["median"] == pytest.approx(0.01)
    assert report["load_summary"]["achieved_rate"] == pytest.approx(1.1, rel=0.01)
    assert successes["count"] == 10
    assert successes["latency"]["time_to_first_token"]["p99"] == pytest.approx(0.5)
    assert successes["latency"]["time_per_output_token"]["mean"] == pytest.approx(0.05)
    assert {k: successes["prompt_tokens"][k] for k in ("total", "cached", "uncached")} == {
        "total": 1000,
        "cached": 400,
        "uncached": 600,
    }
    assert report["failures"]["count"] == 1
    assert report["failures"]["by_label"] == {"HTTP 503": 1}


def test_a_run_without_any_answer_still_reports() -> None:
    report = inference_perf([sample(status=0, error="connection lost", ttft=None)], 1.0)
    assert report["successes"]["latency"]["time_to_first_token"] is None
    assert report["failures"]["by_label"] == {"connection lost": 1}


@pytest.mark.parametrize(
    ("one", "name"),
    [
        pytest.param(sample(status=429), "HTTP 429", id="refused"),
        pytest.param(sample(status=200, ttft=None), "no token", id="nothing came"),
        pytest.param(sample(status=200, error="timeout"), "timeout", id="cut off"),
    ],
)
def test_failures_are_named(one: Sample, name: str) -> None:
    assert label(one) == name


def test_an_interval_holds_the_ratio_and_a_seed_repeats_it() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.exponential(1, 2000), rng.exponential(2, 2000)
    low, high = bootstrap(ours, theirs, lambda v: quantile(v, 99), seed=1, rounds=200)
    assert low < 0.5 < high
    again = bootstrap(ours, theirs, lambda v: quantile(v, 99), seed=1, rounds=200)
    assert (low, high) == again


def test_service_classes_are_those_of_the_workload_catalogue() -> None:
    assert [(s.name, s.ttft_s, s.tpot_s) for s in SLO_CLASSES] == [
        ("interactive-chat", 1.0, 0.05),
        ("reasoning", 2.0, 0.1),
        ("code-generation", 30.0, 0.1),
    ]
