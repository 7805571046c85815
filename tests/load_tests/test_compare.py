"""The comparison's verdict: which promises hold, what spoils a measurement, how load is chosen."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from load_tests.capacity import engine_request, requests_needed, saturation
from load_tests.compare import Result, Settings, offered
from load_tests.compare_report import broken_promises, cautions, render, report
from load_tests.emulator.profiles import PROFILES
from load_tests.fleet import Policy
from load_tests.measure import Sample
from load_tests.workload import Arrival, Block, Message, SharedPrefix

L4 = PROFILES["L4-8B"]


def result(
    policy: Policy, ttft: float, *, failed: int = 0, late: float = 0.0, cached: int = 50
) -> Result:
    samples = [
        Sample(
            scheduled_at=float(i),
            sent_at=i + late,
            first_at=i + late + ttft,
            ended_at=i + late + ttft + 1,
            status=503 if i < failed else 200,
            prompt_tokens=100,
            cached_tokens=cached,
            output_tokens=11,
            served_by=f"server-{i % 4}",
        )
        for i in range(100)
    ]
    return Result(policy, samples, 100.0, {"gateway": 5.0, "envoy": 2.0})


OURS = result(Policy.LOADSTAR, 0.2)
ROUND_ROBIN = result(Policy.ROUND_ROBIN, 0.5)
LEAST = result(Policy.LEAST_REQUEST, 0.3)


@pytest.mark.parametrize(
    ("results", "broken"),
    [
        pytest.param([OURS, ROUND_ROBIN, LEAST], [], id="all held"),
        pytest.param(
            [result(Policy.LOADSTAR, 0.26), ROUND_ROBIN],
            ["p99 TTFT 260 ms is more than 0.5 of round robin's 500 ms"],
            id="not twice as good as round robin",
        ),
        pytest.param(
            [OURS, result(Policy.LEAST_REQUEST, 0.2)],
            ["p99 TTFT 200 ms is not below least request's 200 ms"],
            id="no better than least request",
        ),
        pytest.param(
            [replace(OURS, samples=[])], [], id="nothing to hold it against, nothing broken"
        ),
        pytest.param(
            [replace(OURS, samples=[]), ROUND_ROBIN],
            ["p99 TTFT - is more than 0.5 of round robin's 500 ms"],
            id="no measurement is no success",
        ),
        pytest.param(
            [result(Policy.LOADSTAR, 0.2, failed=2), ROUND_ROBIN],
            ["loadstar: 2 requests failed"],
            id="failures are never fine",
        ),
    ],
)
def test_promises(results: Sequence[Result], broken: list[str]) -> None:
    assert broken_promises(results) == broken


def test_a_client_that_lagged_is_said_to_have_lagged() -> None:
    assert cautions([result(Policy.RANDOM, 0.2, late=0.5)]) == [
        "random: the client itself was 500 ms late (p99); lower --speed or --load"
    ]


def test_the_table_has_a_line_per_policy_and_the_ratios() -> None:
    text = render(Settings(servers=4), [OURS, ROUND_ROBIN])
    lines = text.splitlines()
    assert lines[2].split()[:3] == ["loadstar", "100", "0"]
    assert lines[2].endswith("5.0%")
    assert "TTFT of loadstar over round_robin: mean 0.40, p99 0.40 (95 %: 0.40 to 0.40)" in text


def test_the_json_report_says_who_served_and_what_it_cost() -> None:
    settings = Settings(seconds=2, servers=2)
    workload = offered(settings)
    found = report(settings, workload, [OURS])["loadstar"]
    assert found["served_by"] == {f"server-{i}": 25 for i in range(4)}
    assert found["cpu_seconds"] == {"gateway": 5.0, "envoy": 2.0}
    assert found["load_summary"]["requested_rate"] == workload.rate


def test_the_rate_is_the_share_asked_for_of_saturation_at_the_speed_asked_for() -> None:
    half = offered(Settings(seconds=2, servers=2, load=0.5))
    fast = offered(Settings(seconds=2, servers=2, load=0.5, speed=4))
    assert half.rate == 0.5 * half.saturation
    assert fast.rate == pytest.approx(4 * half.rate)


def test_the_same_seed_offers_the_same_workload() -> None:
    settings = Settings(seconds=2, servers=2)
    assert offered(settings) == offered(settings)
    assert offered(settings) != offered(replace(settings, seed=2))


def test_service_classes_are_held_against_the_engines_clock() -> None:
    """At speed 4 a second of the engine is a quarter of ours; 0.5 s to the first token is 2 s."""
    usual, fast = (render(Settings(speed=speed), [ROUND_ROBIN]) for speed in (1, 4))
    assert "goodput reasoning (TTFT 2 s, TPOT 100 ms): round_robin 100.0%" in usual
    assert "goodput reasoning (TTFT 2 s, TPOT 100 ms): round_robin 0.0%" in fast
    assert "the engines ran at speed 4" in fast


# --- capacity -----------------------------------------------------------------------------------


def distinct(count: int, tokens: int, output: int) -> list[Arrival]:
    return [Arrival(0, (Message("", (Block(i, tokens),)),), output, -1) for i in range(count)]


def test_saturation_grows_with_the_fleet() -> None:
    backlog = distinct(1000, 1600, 20)
    one, four = saturation(backlog, L4, 1), saturation(backlog, L4, 4)
    assert four == pytest.approx(4 * one, rel=0.1)


def test_saturation_is_near_the_prefill_rate_where_prefill_is_all_there_is() -> None:
    backlog = distinct(requests_needed(L4, 1, 2000), 2000, 1)
    assert saturation(backlog, L4, 1) * 2000 == pytest.approx(L4.peak_prefill_rate, rel=0.15)


def test_shared_prefixes_raise_what_a_fleet_can_do() -> None:
    rng = random.Random(1)
    shared = SharedPrefix(groups=4, prefix_tokens=1500, question_tokens=100, output_tokens=20)
    free = distinct(1000, 1600, 20)
    backlog = shared.arrivals([0.0] * 1000, rng)
    assert saturation(backlog, L4, 2) > 2 * saturation(free, L4, 2)


def test_requests_share_hashes_as_far_as_they_share_text() -> None:
    def prompt(question: int) -> Arrival:
        return Arrival(0, (Message("", (Block(1, 100), Block(question, 50))),), 5, 1)

    a, b = engine_request(prompt(2)), engine_request(prompt(3))
    same = sum(x == y for x, y in zip(a.hashes, b.hashes, strict=True))
    assert (same, len(a.hashes), a.prompt_tokens) == (6, 9, 150)
