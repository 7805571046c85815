"""What is learned while serving: kappa from saturation, lead times from orders; and its guards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.capacity.curve import ServiceCurve
from autoscaler.capacity.kappa import HIGHEST, LOWEST, Kappa
from autoscaler.capacity.lead_time import LeadTimes, Orders

CURVE = ServiceCurve(0.18, 0.65, 0.08)


def saturate(kappa: Kappa, minutes: int, served: float, utilization: float | None = 1.0) -> None:
    for _ in range(minutes):
        for _ in range(4):
            kappa.see(
                15.0,
                served=served,
                ready=10.0,
                backlog_s=100.0,
                utilization=utilization,
                curve=CURVE,
            )
        kappa.minute()


def cruise(kappa: Kappa, minutes: int, factor: float, load: float = 0.7) -> None:
    """No queue; replicas really do ``factor`` times their profile."""
    for _ in range(minutes):
        for _ in range(4):
            kappa.see(
                15.0,
                served=10.0 * factor * load,
                ready=10.0,
                backlog_s=0.0,
                utilization=CURVE.concurrency(load),
                curve=CURVE,
            )
        kappa.minute()


def test_a_queue_tells_the_truth_within_minutes() -> None:
    kappa = Kappa(trust_curve=False)
    saturate(kappa, 15, served=7.5)
    assert kappa.value == pytest.approx(0.75, abs=0.03)


def test_replicas_that_have_just_come_do_not_make_the_others_slow() -> None:
    """What was served is half a minute old: it is of those that were there then."""
    kappa = Kappa(trust_curve=False)
    for tick in range(40):
        kappa.see(
            15.0,
            served=10.0 + tick - 2,
            ready=10.0 + tick,
            backlog_s=500.0,
            utilization=1.0,
            curve=CURVE,
        )
        kappa.minute()
    assert kappa.value == 1.0


def test_a_queue_beside_half_empty_batches_is_no_saturation() -> None:
    """Requests that wait for a slow router say nothing of what replicas can do."""
    kappa = Kappa(trust_curve=False)
    saturate(kappa, 15, served=4.0, utilization=0.4)
    assert kappa.value == 1.0


def test_a_blink_of_a_queue_is_chance() -> None:
    kappa = Kappa(trust_curve=False)
    for tick in range(40):
        kappa.see(
            15.0,
            served=5.0,
            ready=10.0,
            backlog_s=100.0 if tick % 4 == 0 else 0.0,
            utilization=None,
            curve=CURVE,
        )
        kappa.minute()
    assert kappa.value == 1.0


def test_the_curve_is_believed_only_where_it_was_measured() -> None:
    guess, measured = Kappa(trust_curve=False), Kappa(trust_curve=True)
    for kappa in (guess, measured):
        cruise(kappa, 300, factor=1.25)
    assert guess.value == 1.0
    assert measured.value == pytest.approx(1.25, abs=0.03)


def test_good_news_from_the_curve_is_taken_slowly() -> None:
    kappa = Kappa(trust_curve=True)
    cruise(kappa, 10, factor=1.5)
    assert 1.0 < kappa.value <= 1.0 + 10 * 0.004 + 1e-9


def test_what_is_not_known_teaches_nothing() -> None:
    kappa = Kappa(trust_curve=True)
    kappa.see(15.0, served=None, ready=10, backlog_s=5.0, utilization=0.5, curve=CURVE)
    kappa.see(15.0, served=9.0, ready=0.0, backlog_s=5.0, utilization=0.5, curve=CURVE)
    kappa.minute()
    assert kappa.value == 1.0


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 100), st.floats(0, 1e6), st.floats(0, 1)),
        max_size=40,
    )
)
def test_kappa_stays_within_its_bounds(ticks: list[tuple[float, float, float, float]]) -> None:
    kappa = Kappa(trust_curve=True)
    for served, ready, backlog_s, used in ticks:
        kappa.see(
            15.0, served=served, ready=ready, backlog_s=backlog_s, utilization=used, curve=CURVE
        )
        kappa.minute()
        assert LOWEST <= kappa.value <= HIGHEST


def test_lead_times_begin_as_the_policy_says_and_end_as_they_are() -> None:
    lead = LeadTimes(390.0)
    assert lead.p90_s() == 390.0
    lead.extend([200.0] * 8)
    assert lead.p90_s() == pytest.approx((200 + 390) / 2)
    lead.extend([200.0] * 160 + [260.0] * 40)
    assert lead.p90_s() == pytest.approx((200 * 260 + 8 * 390) / 208)
    assert lead.p50_s() < lead.p90_s()


def test_a_shortage_is_not_a_lead_time() -> None:
    lead = LeadTimes(390.0)
    lead.extend([0.0, -5.0, 40_000.0])
    assert list(lead.samples) == []


def test_orders_are_matched_first_in_first_out() -> None:
    orders = Orders()
    orders.place(0.0, 2)
    orders.place(100.0, 1)
    assert orders.deliver(400.0, 1) == [400.0]
    orders.place(410.0, -1)  # the newest is withdrawn
    assert orders.deliver(500.0, 5) == [500.0]
    assert orders.deliver(600.0, 1) == []
