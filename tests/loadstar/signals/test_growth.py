"""Growth within a window: late subscribers, restarts and silence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadstar.signals.growth import Growth, Reading, Span
from loadstar.signals.model import Snapshot


def told(publisher: str, at: float, started_at: float = 0.0) -> Snapshot:
    return Snapshot(publisher=publisher, started_at=started_at, observed_at=at)


def test_a_window_begins_with_the_last_reading_before_it() -> None:
    growth: Growth[int] = Growth(60)
    for at in range(1000, 1101):
        growth.add(told("p", at), at)

    span = growth.spans()["p"]

    assert span.newest == Reading(1100, 1100)
    assert span.base is not None
    assert 1035 <= span.base.at <= 1040
    assert span.seconds == 1100 - span.base.at


def test_a_publisher_that_began_within_the_window_began_at_zero() -> None:
    growth: Growth[int] = Growth(60)
    growth.add(told("p", 1030, started_at=1000), 90)

    assert growth.spans() == {"p": Span(Reading(1030, 90), None, 1000)}
    assert growth.spans()["p"].seconds == 30


def test_what_a_late_subscriber_heard_once_has_not_grown() -> None:
    growth: Growth[int] = Growth(60)
    growth.add(told("p", 1030), 90)

    assert growth.spans()["p"].seconds == 0


def test_what_is_heard_again_or_late_changes_nothing() -> None:
    growth: Growth[int] = Growth(60)
    growth.add(told("p", 1030), 90)
    growth.add(told("p", 1030), 91)
    growth.add(told("p", 1020), 80)

    assert growth.spans()["p"].newest == Reading(1030, 90)


def test_the_silent_are_forgotten() -> None:
    growth: Growth[int] = Growth(60)
    growth.add(told("p", 1030), 1)
    growth.add(told("q", 1030), 2)
    growth.keep({"q"})

    assert list(growth.spans()) == ["q"]


@given(st.lists(st.floats(0.1, 30), min_size=1, max_size=200))
def test_memory_is_bounded_and_the_window_is_nearly_whole(steps: list[float]) -> None:
    growth: Growth[float] = Growth(60)
    at = 1000.0
    for step in steps:
        at += step
        growth.add(told("p", at), at)

    span = growth.spans()["p"]
    kept = growth._kept["p"].older

    assert len(kept) <= 14
    if at - (1000.0 + steps[0]) >= 60:
        assert 60 <= span.seconds <= 60 + 5 + 30
