"""The fluid queue: what is served, what is late, and that nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.simulate.fluid import FluidQueue, late_share

NO_PREFILL = (0.0, 0.0)


def queue(abandon_after_s: float = 120.0) -> FluidQueue:
    return FluidQueue(abandon_after_s, ttft_s=2.0)


def test_what_fits_is_served_in_time() -> None:
    served = queue().step(10, 0.1, 2.0, 4, *NO_PREFILL)
    assert (served.done, served.late, served.abandoned) == (10, 0, 0)
    assert served.load == pytest.approx(0.5)


def test_what_waits_past_the_step_is_late_when_it_is_served() -> None:
    line = queue()
    first = line.step(30, 0.1, 2.0, 4, *NO_PREFILL)
    assert [first.done, first.late, line.waiting_requests] == pytest.approx([20, 0, 10])
    second = line.step(0, 0.1, 2.0, 4, *NO_PREFILL)
    assert [second.done, second.late] == pytest.approx([10, 10])


def test_the_oldest_are_served_first() -> None:
    line = queue()
    line.step(20, 0.1, 0.0, 0, *NO_PREFILL)
    served = line.step(20, 0.1, 3.0, 4, *NO_PREFILL)
    assert [served.done, served.late] == pytest.approx([30, 20])


def test_who_waits_too_long_goes_away() -> None:
    line = queue(abandon_after_s=10)
    line.step(7, 0.1, 0.0, 0, *NO_PREFILL)
    lost = [line.step(0, 0.1, 0.0, 0, *NO_PREFILL).abandoned for _ in range(4)]
    assert lost == [0, 0, 7, 0]
    assert line.waiting_requests == 0


def test_long_prefills_make_others_late_the_more_the_fuller() -> None:
    shares = [late_share(load, 4, 0.9, 0.154, 2.0) for load in (0.3, 0.6, 0.9)]
    assert shares == sorted(shares)
    assert late_share(0.9, 16, 0.9, 0.154, 2.0) < shares[-1]
    assert late_share(0.1, 4, 0.9, 3.0, 2.0) == 1.0


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 500), st.floats(0.001, 2.0), st.floats(0, 40)),
        min_size=1,
        max_size=60,
    )
)
def test_every_request_is_served_or_abandoned_or_waits(
    steps: list[tuple[float, float, float]],
) -> None:
    line = queue(abandon_after_s=30)
    arrived = ended = 0.0
    for requests, work_s, capacity_s in steps:
        served = line.step(requests, work_s, capacity_s, 4, 0.6, 0.08)
        arrived += requests
        ended += served.done + served.abandoned
        assert 0 <= served.load <= 1
        assert -1e-9 <= served.late <= served.done + served.abandoned + 1e-9
    assert ended + line.waiting_requests == pytest.approx(arrived, abs=1e-6)
