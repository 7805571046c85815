"""The small rules: when a difference matters, how demand is read, how headroom and rest work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.observe.observation import Demand
from autoscaler.policy.model import ScaleDownPolicy, ScaleToZeroPolicy
from autoscaler.sizing.feedback import Headroom
from autoscaler.sizing.guard import DownGuard
from autoscaler.sizing.idle import Idle
from autoscaler.sizing.need import Arrivals, RequestSize, beyond_chance, reactive


@given(st.lists(st.integers(0, 60), min_size=1, max_size=200))
def test_the_guard_goes_down_only_to_the_most_of_the_window(wanted: list[int]) -> None:
    guard = DownGuard(ScaleDownPolicy(window_s=600.0))
    size = 60
    for index, each in enumerate(wanted):
        now = 15.0 * index
        most = guard.note(now, each)
        assert most == max(wanted[max(0, index - 13) : index + 1])
        lowered = guard.lowered(now, size, most, 1)
        assert min(size, most) <= lowered <= size
        assert size - lowered <= max(1, size // 4)
        size = lowered


def test_nothing_goes_down_within_a_window_of_going_up() -> None:
    guard = DownGuard(ScaleDownPolicy(window_s=600.0))
    sizes = []
    for minute in range(22):
        most = guard.note(60.0 * minute, 10 if minute < 11 else 9)
        if minute == 10:
            guard.rose(60.0 * minute)
        sizes.append(guard.lowered(60.0 * minute, 12, most, 1))
    assert sizes == [12] * 20 + [9, 9]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=400))
def test_scarce_capacity_goes_down_to_the_most_of_an_hour(wanted: list[int]) -> None:
    guard = DownGuard(ScaleDownPolicy(window_s=600.0))
    for index, each in enumerate(wanted):
        most = guard.note(15.0 * index, each, scarce=True)
        assert most == max(wanted[max(0, index - 240) : index + 1])


@pytest.mark.parametrize(
    ("window_s", "rest_s", "waits_s"),
    [
        pytest.param(900.0, 0.0, 900.0, id="nodes that go with their replicas"),
        pytest.param(900.0, 600.0, 300.0, id="nodes that rest for ten minutes"),
        pytest.param(900.0, 3600.0, 300.0, id="never less than an HPA waits"),
        pytest.param(60.0, 600.0, 60.0, id="nor more than the policy says"),
    ],
)
def test_a_rest_shortens_the_window(window_s: float, rest_s: float, waits_s: float) -> None:
    guard = DownGuard(ScaleDownPolicy(window_s=window_s), rest_s)
    assert guard.window_s() == waits_s


def test_a_slice_is_the_smallest_step() -> None:
    guard = DownGuard(ScaleDownPolicy(window_s=0.0))
    guard.note(0.0, 4)
    guard.note(60.0, 4)
    assert guard.lowered(60.0, 12, 4, step=4) == 8


@pytest.mark.parametrize(
    ("tick", "minute", "backlog_s", "work"),
    [
        pytest.param(4.0, 4.0, 0.0, 4.0, id="steady"),
        pytest.param(9.0, 4.0, 0.0, 5.0, id="a spike counts to a quarter above the minute"),
        pytest.param(1.0, 4.0, 0.0, 4.0, id="a lull counts for nothing"),
        pytest.param(4.0, 4.0, 9.0, 7.0, id="a backlog is to be gone in 3 s"),
    ],
)
def test_what_is_here_now(tick: float, minute: float, backlog_s: float, work: float) -> None:
    assert reactive(tick, minute, backlog_s) == pytest.approx(work)


@pytest.mark.parametrize(
    ("backlog_s", "variation", "counted_s"),
    [
        pytest.param(0.0, 0.1, 0.0, id="none"),
        pytest.param(2.0, 0.1, 0.0, id="less than half a tick's chance"),
        pytest.param(9.0, 0.1, 6.0, id="what is beyond it"),
        pytest.param(9.0, 0.0, 9.0, id="all of it where nothing varies"),
    ],
)
def test_a_queue_that_chance_explains_orders_nothing(
    backlog_s: float, variation: float, counted_s: float
) -> None:
    assert beyond_chance(backlog_s, 4.0, variation) == pytest.approx(counted_s)


def watched(works: list[float], *, every_s: float = 15.0) -> Arrivals:
    arrivals = Arrivals()
    for index, work in enumerate(works):
        arrivals.add(every_s * index, work)
    return arrivals


@pytest.mark.parametrize(
    ("works", "variation"),
    [
        pytest.param([4.0], 0.0, id="constant"),
        pytest.param([4.4, 3.6], 0.1155, id="a tenth up and down, of a sample of four"),
        pytest.param([8.0, 0.0], 0.25, id="no more than a spike that counts"),
    ],
)
def test_how_much_arrivals_vary_is_learned_in_hours(works: list[float], variation: float) -> None:
    arrivals = watched(works * (6 * 240 // len(works)))
    assert arrivals.variation() == pytest.approx(variation, abs=3e-3)


@given(st.lists(st.floats(0.0, 1e6), max_size=300))
def test_variation_is_a_share_whatever_comes(works: list[float]) -> None:
    assert 0.0 <= watched(works).variation() <= 0.25


def test_nothing_is_learned_of_variation_from_silence_or_across_a_gap() -> None:
    assert watched([0.0] * 500).variation() == Arrivals().variation()
    assert watched([1.0, 9.0] * 250, every_s=60.0).variation() == Arrivals().variation()


def served(rps: float, queued: float | None) -> Demand:
    return Demand(window_s=15.0, arrivals_rps=None, served_rps=rps, queued_requests=queued)


def test_completions_are_corrected_by_the_queue_that_grows() -> None:
    """A saturated fleet completes 10/s of 14/s: demand is 14, not 10."""
    arrivals = Arrivals()
    assert arrivals.update(0.0, served(10.0, 100.0)) is None
    assert arrivals.update(15.0, served(10.0, 160.0)) == pytest.approx(14.0)
    assert arrivals.update(30.0, served(10.0, None)) is None


def test_sizes_drift_slowly_and_silence_has_none() -> None:
    size = RequestSize()
    size.update(Demand(window_s=15, arrivals_rps=0.0, input_tokens=0.0, output_tokens=0.0), 15.0)
    assert size.input_tokens is None
    size.update(Demand(window_s=15, arrivals_rps=5, input_tokens=1000, output_tokens=100), 15.0)
    size.update(Demand(window_s=15, arrivals_rps=5, input_tokens=2000, output_tokens=100), 15.0)
    assert size.input_tokens == pytest.approx(1025.0)


def minute_of(headroom: Headroom, violating: float | None, **rest: float | bool) -> float:
    for _ in range(4):
        headroom.see(violating)
    headroom.minute(float(rest.get("lead_s", 390.0)), frozen=bool(rest.get("frozen", False)))
    return headroom.value


def test_most_of_what_a_bad_minute_adds_is_gone_in_hours_and_a_little_lasts() -> None:
    headroom = Headroom(0.005)
    assert minute_of(headroom, 0.5) == pytest.approx(0.00199 + 0.012)
    for _ in range(120):
        minute_of(headroom, 0.01)
    assert headroom.value == pytest.approx(0.00199 - 120 * 0.00001 + 0.006)
    for _ in range(22 * 60):
        minute_of(headroom, 0.01)
    assert headroom.value == pytest.approx(0.00199 - 24 * 60 * 0.00001, abs=1e-5)


def test_lasting_headroom_rests_where_bad_minutes_are_as_many_as_the_budget_says() -> None:
    headroom = Headroom(1 / 96)
    after_a_day = []
    for _ in range(4):
        for minute in range(1440):
            minute_of(headroom, 1.0 if minute % 96 == 95 else 0.0)
        after_a_day.append(headroom.value)
    assert after_a_day == pytest.approx([after_a_day[0]] * 4, abs=1e-4)


def test_a_jump_that_no_headroom_could_have_met_teaches_nothing_until_its_queue_is_gone() -> None:
    headroom = Headroom(0.005)
    for load, violating in [(2.2, 0.0), (2.2, 0.9), (1.2, 0.9), (0.9, 0.9)]:
        headroom.see(violating, load)
    headroom.minute(390.0, frozen=False)
    assert minute_of(headroom, 0.9) == 0.0
    quiet = minute_of(headroom, 0.0)
    assert quiet == pytest.approx(-0.00001)
    assert minute_of(headroom, 0.9) == pytest.approx(quiet + 0.01399)


def test_demand_a_quarter_above_what_is_there_teaches() -> None:
    headroom = Headroom(0.005)
    for _ in range(4):
        headroom.see(0.5, 1.25)
    headroom.minute(390.0, frozen=False)
    assert headroom.value == pytest.approx(0.01399)


def test_headroom_moves_less_where_lead_times_are_long() -> None:
    assert minute_of(Headroom(0.005), 0.5, lead_s=1200.0) == pytest.approx(0.01399 * 390 / 1200)


@pytest.mark.parametrize(("violating", "frozen"), [(None, False), (0.9, True)])
def test_minutes_that_say_nothing_teach_nothing(violating: float | None, frozen: bool) -> None:
    assert minute_of(Headroom(0.005), violating, frozen=frozen) == 0.0


@given(st.lists(st.floats(0, 1), max_size=600))
def test_headroom_stays_in_bounds(violations: list[float]) -> None:
    headroom = Headroom(0.005)
    for each in violations:
        assert -0.06 <= minute_of(headroom, each) <= 0.30


def pauses(idle: Idle, seconds: list[float]) -> float:
    now = 0.0
    for pause in seconds:
        idle.see(now, busy=False)
        now += pause
        idle.see(now, busy=True)
        now += 30.0
    return now


def test_rest_lasts_as_long_as_a_cold_start_is_worth() -> None:
    idle = Idle(ScaleToZeroPolicy(enabled=True))
    idle.see(0.0, busy=False)
    assert not idle.over(5 * 390 - 1, 390.0)
    assert idle.over(5 * 390, 390.0)


def test_short_pauses_that_come_back_are_waited_out_and_long_ones_are_not() -> None:
    short = Idle(ScaleToZeroPolicy(enabled=True))
    pauses(short, [600.0] * 12)
    assert short.limit_s(390.0) == 600.0
    long = Idle(ScaleToZeroPolicy(enabled=True))
    pauses(long, [7200.0] * 12)
    assert long.limit_s(390.0) == 60.0


def test_the_policy_may_say_how_long_and_whether_at_all() -> None:
    said = Idle(ScaleToZeroPolicy(enabled=True, idle_s=120.0))
    never = Idle(ScaleToZeroPolicy(enabled=False))
    for idle in (said, never):
        idle.see(0.0, busy=False)
    assert (said.over(120.0, 390.0), never.over(1e9, 390.0)) == (True, False)
    said.forget()
    assert not said.over(240.0, 390.0)
