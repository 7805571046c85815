"""Profiles: the shipped ones against known figures, fits against engines that are known exactly."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from autoscaler.capacity.bench import BadResult, BenchPoint, read_point
from autoscaler.capacity.engine import EngineModel, Shape
from autoscaler.capacity.fit import CannotFit, fit
from autoscaler.capacity.profiles import SHIPPED, UnknownProfile, profile_of, shipped, speed_of
from autoscaler.capacity.recommend import Slo, recommend, replicas_for, sustainable
from autoscaler.policy.model import load_policy

CHAT = Shape(input_tokens=1100, output_tokens=200)
H100 = "llama-3.1-8b/h100-80gbx1"


@pytest.mark.parametrize(
    ("key", "sequences", "milliseconds"),
    [
        (H100, 1, 7.0),
        (H100, 64, 11.6),
        ("llama-3.1-8b/a100-80gbx1", 1, 12.1),
        ("qwen3-32b/h100-80gbx2", 16, 17.7),
        ("gemma-3-27b/tpu-v6ex8", 128, 23.4),
    ],
)
def test_shipped_profiles_tell_the_latencies_they_were_fitted_to(
    key: str, sequences: int, milliseconds: float
) -> None:
    """Inter-token latency at a context of 1000 tokens."""
    step_s = shipped(key).engine.decode_step_s(sequences, 1000)
    assert step_s * 1000 == pytest.approx(milliseconds, rel=0.03)


@pytest.mark.parametrize("key", list(SHIPPED))
def test_the_batch_keeps_the_objective_and_one_more_would_not(key: str) -> None:
    engine = shipped(key).engine
    for tpot_s in (0.03, 0.06, 0.2):
        batch = engine.batch(CHAT, tpot_s)
        most = min(engine.max_sequences, int(0.9 * engine.kv_tokens / CHAT.context()))
        if batch:
            assert engine._tpot_s(batch, CHAT) <= tpot_s
        if batch < most:
            assert engine._tpot_s(batch + 1, CHAT) > tpot_s


def test_the_linear_profile_agrees_with_the_engine_at_its_batch() -> None:
    engine = shipped(H100).engine
    made = engine.profile(CHAT, 0.06)
    assert made is not None
    line = made.decode_base_s + made.concurrency * made.decode_per_sequence_s
    assert line == pytest.approx(engine.decode_step_s(made.concurrency, CHAT.context()))


def test_a_prefix_in_the_cache_spares_compute_and_not_memory() -> None:
    engine = shipped(H100).engine
    cached = Shape(input_tokens=1100, output_tokens=200, prefix_hit=0.8)
    assert engine.prefill_s(cached) < 0.3 * engine.prefill_s(CHAT)
    assert cached.context() == CHAT.context()


def measured(rate: float, base: float, slope: float, prefill: float) -> BenchPoint:
    """A replica whose step times are exactly these, at ``rate``."""
    isl, osl = 1000.0, 200.0
    tpot = base / (1.0 - rate * isl * prefill - slope * rate * (osl - 1))
    return BenchPoint(
        rate_rps=rate,
        input_tokens=isl,
        output_tokens=osl,
        ttft_s=tpot / 2 + isl * prefill,
        tpot_s=tpot,
        latency_s=tpot * osl,
    )


def test_a_sweep_gives_back_the_engine_it_was_measured_on() -> None:
    points = [measured(rate, 0.012, 0.00015, 0.00005) for rate in (0.5, 4.0, 7.0, 9.5)]
    found = fit(points, 0.06)
    assert found.profile.decode_base_s == pytest.approx(0.012, rel=0.02)
    assert found.profile.decode_per_sequence_s == pytest.approx(0.00015, rel=0.05)
    assert found.profile.prefill_per_token_s == pytest.approx(0.00005, rel=0.05)
    assert found.mean_error < 0.01
    assert found.profile.concurrency <= 1.5 * found.most_decoding


@pytest.mark.parametrize(
    ("rates", "words"),
    [([1.0, 5.0], "measure at least 3 request rates"), ([5.0] * 4, "spread the request rates")],
)
def test_too_little_to_fit_says_what_to_measure(rates: list[float], words: str) -> None:
    with pytest.raises(CannotFit, match=words):
        fit([measured(rate, 0.012, 0.00015, 0.00005) for rate in rates], 0.06)


VLLM = {
    "completed": 60,
    "failed": 0,
    "total_input_tokens": 6000,
    "total_output_tokens": 960,
    "request_throughput": 9.75,
    "median_ttft_ms": 11.0,
    "mean_ttft_ms": 14.0,
    "mean_tpot_ms": 3.5,
    "p95_ttft_ms": 28.0,
}
PERF = {
    "successes": {
        "count": 150,
        "latency": {
            "request_latency": {"mean": 0.06},
            "time_per_output_token": {"mean": 0.0024, "p95": 0.005},
            "time_to_first_token": {"median": 0.013, "p95": 0.03},
        },
        "throughput": {
            "requests_per_sec": 6.5,
            "input_tokens_per_sec": 1040.0,
            "output_tokens_per_sec": 156.0,
        },
    }
}


def test_both_result_formats_are_read() -> None:
    assert read_point(VLLM) == BenchPoint(
        rate_rps=9.75,
        input_tokens=100.0,
        output_tokens=16.0,
        ttft_s=0.011,
        tpot_s=0.0035,
        latency_s=(14.0 + 3.5 * 15) / 1000,
        ttft_p95_s=0.028,
    )
    point = read_point(PERF)
    assert (point.rate_rps, point.input_tokens, point.output_tokens) == (6.5, 160.0, 24.0)
    assert (point.ttft_s, point.tpot_s, point.tpot_p95_s) == (0.013, 0.0024, 0.005)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "must be a JSON object"),
        ({"results": []}, "neither inference-perf"),
        ({**VLLM, "failed": 30}, "30 requests failed"),
        ({**VLLM, "completed": 0, "request_throughput": 0.0}, "no request completed"),
        ({**VLLM, "mean_tpot_ms": None}, "mean_tpot_ms: must be a number"),
        ({**PERF, "failures": {"count": 2}}, "2 requests failed; a profile needs a clean run"),
        (
            {"successes": {"count": 0, "latency": {"request_latency": None}, "throughput": {}}},
            "no request completed",
        ),
        (
            {"successes": {**PERF["successes"], "latency": {}}},
            "time_per_output_token: is missing; run with streaming on",
        ),
    ],
)
def test_a_result_that_lacks_something_says_what(document: object, words: str) -> None:
    with pytest.raises(BadResult, match=words):
        read_point(document, "out.json")


def test_percentiles_that_were_not_asked_for_are_not_missed() -> None:
    latency = {
        "request_latency": {"mean": 0.06},
        "time_per_output_token": {"mean": 0.0024},
        "time_to_first_token": {"median": 0.013},
    }
    point = read_point({"successes": {**PERF["successes"], "latency": latency}})
    assert (point.ttft_p95_s, point.tpot_p95_s) == (None, None)
    assert point.ttft_s == 0.013


def test_results_of_two_models_are_no_sweep() -> None:
    points = [measured(rate, 0.012, 0.00015, 0.00005) for rate in (0.5, 4.0, 7.0, 9.5)]
    mixed = [replace(point, model=name) for point, name in zip(points, "aabb", strict=True)]
    with pytest.raises(CannotFit, match="results of several models: a, b; give those of one"):
        fit(mixed, 0.06)
    assert fit([replace(point, model="a") for point in points], 0.06).points == 4


def test_the_cheapest_that_keeps_the_objectives_comes_first() -> None:
    prices = {"l4": 0.8, "a100-80gb": 3.67, "h100-80gb": 6.5}
    ways, unfit = recommend("llama-3.1-8b", Slo(), 100.0, CHAT, prices=prices)
    costs = [way.cost_per_hour for way in ways]
    assert [way.accelerator for way in ways] == ["h100-80gb", "a100-80gb"]
    assert costs == sorted(costs, key=lambda cost: cost or 0.0)
    assert [each.profile for each in unfit] == ["llama-3.1-8b/l4x1"]
    for way in ways:
        assert way.replicas * way.sustainable_rps >= 100.0
        assert way.hpa_target_rps < way.sustainable_rps


def test_small_fleets_need_more_room_each() -> None:
    one, many = replicas_for(9.9, 10.0, 64), replicas_for(399.0, 10.0, 64)
    assert (one, many) == (2, 42)
    assert replicas_for(0.0, 10.0, 64) == 1


def test_an_objective_shorter_than_a_prefill_is_told_so() -> None:
    said = sustainable(shipped("qwen3-32b/h100-80gbx2"), Slo(ttft_s=0.01), CHAT)
    assert isinstance(said, str)
    assert "one prefill takes 0.06 s" in said


def test_a_policy_names_its_profile() -> None:
    policy = load_policy(
        {
            "models": [{"name": "m", "profileRef": H100, "sloTpotP95": "60ms"}],
            "pools": [{"name": "p"}],
        }
    )
    made = profile_of(policy.models[0])
    assert made.decode_base_s == pytest.approx(0.0069)
    assert 64 < made.concurrency <= 256
    with pytest.raises(UnknownProfile, match=r"did you mean llama-3\.1-8b/h100-80gbx1"):
        shipped("llama-3.1-8b/h100-80gb")


def test_a_variant_is_as_fast_as_its_profile_says_unless_it_says_so_itself() -> None:
    l4 = "llama-3.1-8b/l4x1"
    policy = load_policy(
        {
            "models": [
                {
                    "name": "m",
                    "profileRef": H100,
                    "sloTpotP95": "120ms",
                    "variants": [
                        {"pool": "slow", "profileRef": l4},
                        {"pool": "said", "profileRef": l4, "relativeSpeed": 0.5},
                        {"pool": "plain"},
                    ],
                }
            ],
            "pools": [{"name": "slow"}, {"name": "said"}, {"name": "plain", "relativeSpeed": 0.8}],
        }
    )
    model = policy.models[0]
    typical = Shape(input_tokens=1000, output_tokens=200)
    seconds = {}
    for key in (H100, l4):
        made = shipped(key).engine.profile(typical, 0.120)
        assert made is not None
        step_s = made.decode_base_s / made.concurrency + made.decode_per_sequence_s
        seconds[key] = made.prefill_base_s + 1000 * made.prefill_per_token_s + 200 * step_s
    speeds = [speed_of(model, *place) for place in policy.variants(model)]
    assert speeds == [pytest.approx(seconds[H100] / seconds[l4]), 0.5, 0.8]
    assert 0.02 < speeds[0] < 0.1
    unknown = replace(model.variants[0], profile_ref="llama-3.1-8b/l4")
    with pytest.raises(UnknownProfile, match=r"did you mean llama-3\.1-8b/l4x1"):
        speed_of(model, unknown, policy.pools[0])


def test_an_engine_too_slow_for_one_sequence_has_no_profile() -> None:
    slow = EngineModel(
        weights_s=0.2,
        token_s=1e-4,
        kv_read_s=1e-7,
        attention_s=0.0,
        overhead_s=0.0,
        sequence_s=0.0,
        kv_tokens=10_000,
        max_sequences=16,
    )
    assert slow.profile(CHAT, 0.06) is None
    assert math.isfinite(slow.decode_step_s(4, 1000))
