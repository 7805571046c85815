"""How often an endpoint is asked."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.confidence import FRESH_SHARE as BELIEVED_SHARE
from gateway.datalayer.scrape_plan import (
    COHORT,
    JITTER,
    Plan,
    Result,
    after,
    begin,
    delay,
    first_delay,
    pace,
    phase_seconds,
)

PACE = pace(0.05, 2.0)
STILL = Result(ok=True, page_bytes=52_000)
MOVED = Result(ok=True, moved=True, page_bytes=52_000)
ACTIVE = Result(ok=True, active=True, page_bytes=52_000)
FAILED = Result(ok=False)


def intervals(*results: Result) -> list[float]:
    plan, seen = begin(PACE), []
    for result in results:
        plan = after(plan, result, PACE)
        seen.append(round(plan.interval, 6))
    return seen


def test_the_default_pace() -> None:
    assert (PACE.busy, PACE.idle, PACE.ceiling, PACE.dead) == (0.05, 0.8, 0.8, 2.0)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        pytest.param([STILL] * 6, [0.1, 0.2, 0.4, 0.8, 0.8, 0.8], id="nothing happens: seldom"),
        pytest.param([MOVED] * 3, [0.05] * 3, id="numbers move: often"),
        pytest.param([ACTIVE] * 4, [0.1, 0.2, 0.4, 0.8], id="ours, but nothing moves: seldom too"),
        pytest.param([STILL] * 4 + [ACTIVE] * 2, [0.1, 0.2, 0.4, 0.8, 0.05, 0.1], id="roused"),
        pytest.param([ACTIVE, ACTIVE, MOVED], [0.1, 0.2, 0.05], id="ours, and it moves: often"),
        pytest.param([STILL, STILL, MOVED, STILL], [0.1, 0.2, 0.05, 0.1], id="moved again"),
        pytest.param(
            [FAILED] * 7, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0], id="no answer: ever more seldom"
        ),
        pytest.param(
            [FAILED] * 9 + [STILL], [0.1, 0.2, 0.4, 0.8, 1.6, *[2.0] * 4, 0.05], id="back"
        ),
    ],
)
def test_the_interval_follows_what_happens(results: list[Result], expected: list[float]) -> None:
    assert intervals(*results) == expected


def test_a_failing_endpoint_is_not_woken_by_activity() -> None:
    assert not after(begin(PACE), FAILED, PACE).resting
    assert after(begin(PACE), STILL, PACE).resting
    assert not after(begin(PACE), ACTIVE, PACE).resting


def test_a_huge_page_is_asked_for_less_often() -> None:
    huge = Result(ok=True, moved=True, page_bytes=8 << 20)
    assert intervals(huge) == [PACE.ceiling]


def test_a_short_threshold_means_more_scrapes() -> None:
    short = pace(0.05, 0.2)
    assert (short.busy, short.idle, short.ceiling) == (0.05, 0.4 * 0.2, 0.4 * 0.2)


def test_a_longer_interval_of_the_operators_holds() -> None:
    assert pace(0.05, 2.0, 5.0).idle == 5.0


def test_a_crowd_stretches_intervals_up_to_the_ceiling() -> None:
    rng = random.Random(1)
    doubled = [delay(Plan(0.05), PACE, 2.0, 0.0, 0.0, rng) for _ in range(100)]
    assert all(0.09 <= seconds <= 0.11 for seconds in doubled)
    most = [delay(Plan(0.05), PACE, 1000.0, 0.0, 0.0, rng) for _ in range(100)]
    assert all(seconds <= PACE.ceiling * (1 + JITTER) for seconds in most)


def test_a_cohort_is_asked_together_whatever_its_paces() -> None:
    """The steps of the slow fall on steps of the fast, and cohorts keep out of each other's way."""
    rng = random.Random(1)
    phases = [phase_seconds(slot, 0.3) for slot in range(COHORT * 5)]
    assert len(set(phases[:COHORT])) == 1
    apart = sorted({round(phase % 0.05, 9) for phase in phases})
    assert len(apart) == 5
    assert min(b - a for a, b in pairwise(apart)) > 0.004

    def points(interval: float, now: float) -> list[float]:
        seen = []
        while now < 2.0:
            now += delay(Plan(interval), PACE, 1.0, now, phases[0], rng)
            seen.append(round(now - phases[0], 6))
        return seen

    slow, fast = points(0.5, 0.513), points(0.05, 0.527)
    assert [round(b - a, 6) for a, b in pairwise(slow)] == [0.4] * (len(slow) - 1)
    assert [round(b - a, 6) for a, b in pairwise(fast)] == [0.05] * (len(fast) - 1)
    assert set(slow[:-1]) <= {*fast, *points(0.05, 0.0)}


def test_a_timer_that_is_early_does_not_scrape_twice() -> None:
    wait = delay(Plan(0.05), PACE, 1.0, 0.9999, 0.0, random.Random(1))
    assert wait == pytest.approx(0.0501)


def test_a_thousand_endpoints_do_not_begin_together() -> None:
    rng = random.Random(1)
    starts = sorted(first_delay(PACE, 1000, rng) for _ in range(1000))
    within_50_ms = max(
        sum(start <= other < start + 0.05 for other in starts) for start in starts[::10]
    )
    assert within_50_ms < 120
    assert starts[-1] <= PACE.ceiling


results = st.sampled_from([STILL, MOVED, ACTIVE, FAILED])


@given(
    st.floats(0.05, 1.0),
    st.floats(0.2, 60.0),
    st.lists(results, max_size=30),
    st.floats(0.0, 1e4),
    st.floats(0.0, 1e6),
    st.integers(0, 2**32),
)
def test_an_endpoint_that_answers_stays_believed(
    refresh: float, threshold: float, history: list[Result], crowding: float, now: float, seed: int
) -> None:
    """Unless the operator asks for slower scrapes than the threshold allows."""
    bounds = pace(refresh, threshold)
    plan = begin(bounds)
    for result in history:
        plan = after(plan, result, bounds)
        assert bounds.busy <= plan.interval <= max(bounds.dead, bounds.idle)
    rng = random.Random(seed)
    wait = delay(plan, bounds, crowding, now, phase_seconds(seed % 1000, rng.random()), rng)
    assert 0.09 * bounds.busy <= wait <= max(plan.interval, bounds.ceiling) * 1.1 + 1e-6
    if not plan.failures and refresh <= 0.4 * threshold:
        assert wait <= BELIEVED_SHARE * threshold


def test_a_fleet_at_rest_costs_five_scrapes_in_four_seconds_each() -> None:
    """A minute of virtual time, eight endpoints."""
    rng = random.Random(1)
    scrapes = 0
    for _ in range(8):
        now, plan = first_delay(PACE, 8, rng), begin(PACE)
        while now < 60.0:
            scrapes += 1
            plan = after(plan, STILL, PACE)
            now += delay(plan, PACE, 1.0, now, 0.0, rng)
    assert 8 * 60 * 1.2 < scrapes < 8 * 60 * 1.35
