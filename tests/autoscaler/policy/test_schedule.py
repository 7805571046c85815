"""Announced events: local time, across midnight and across the change of clocks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from autoscaler.policy.schedule import Announced, SchedulePolicy, Weekday, announced

FRIDAY = datetime(2026, 11, 27, tzinfo=UTC).timestamp()
HOUR = 3600.0
NIGHT = SchedulePolicy(
    name="night", start="22:00", end="06:00", days=(Weekday.FRIDAY,), min_replicas=5
)


@pytest.mark.parametrize(
    ("hours", "floor"),
    [
        pytest.param(21.0, None, id="an hour before"),
        pytest.param(21.9, 5, id="a lead time before"),
        pytest.param(23.0, 5, id="before midnight"),
        pytest.param(29.0, 5, id="on Saturday, which began on Friday"),
        pytest.param(30.0, None, id="over"),
        pytest.param(47.0, None, id="Saturday night is nobody's"),
    ],
)
def test_a_window_may_cross_midnight(hours: float, floor: int | None) -> None:
    now = FRIDAY + hours * HOUR
    assert announced([NIGHT], now, now + 600).min_replicas == floor


def test_times_are_those_of_the_place() -> None:
    """Nine in Berlin is seven or eight in UTC, by the season."""
    berlin = SchedulePolicy(
        name="day", start="09:00", end="10:00", timezone="Europe/Berlin", min_replicas=2
    )
    july = datetime(2026, 7, 1, tzinfo=UTC).timestamp()
    assert berlin.windows(july, july + 86399) == [(july + 7 * HOUR, july + 8 * HOUR)]
    assert berlin.windows(FRIDAY, FRIDAY + 86399) == [(FRIDAY + 8 * HOUR, FRIDAY + 9 * HOUR)]


def test_an_uplift_ends_where_demand_itself_can_be_seen() -> None:
    launch = SchedulePolicy(
        name="launch", start="12:00", end="13:00", on_date="2026-11-27", uplift=3.0
    )
    before, during = FRIDAY + 11.95 * HOUR, FRIDAY + 12.1 * HOUR
    assert announced([launch], before, before + 600) == Announced(("launch",), None, None, 3.0)
    assert announced([launch], during, during + 600) == Announced(("launch",), None, None, 1.0)
    week_later = before + 7 * 86400
    assert announced([launch], week_later, week_later + 600) == Announced()


def test_the_largest_floor_and_the_smallest_cap_of_open_windows_hold() -> None:
    schedules = [
        SchedulePolicy(name="a", start="00:00", end="12:00", min_replicas=2, max_replicas=9),
        SchedulePolicy(name="b", start="06:00", end="18:00", min_replicas=4, max_replicas=7),
        SchedulePolicy(name="c", start="08:05", end="09:00", max_replicas=5),
    ]
    now = FRIDAY + 8 * HOUR
    assert announced(schedules, now, now + 600) == Announced(("a", "b", "c"), 4, 7, 1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({}, "must set one of", id="says nothing"),
        pytest.param({"min_replicas": 3, "max_replicas": 2}, "is more than", id="crossed"),
        pytest.param({"days": (), "uplift": 2.0}, "at least one day", id="no day"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SchedulePolicy(name="x", start="01:00", end="02:00", **arguments)  # type: ignore[arg-type]
