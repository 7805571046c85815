"""The forecast as a whole: it covers, beats the last value where one can, and leaks nothing."""

from __future__ import annotations

import numpy as np
import pytest

from autoscaler.forecast.forecaster import Forecaster
from tests.autoscaler.forecast.weeks import (
    DAY,
    coverage,
    diurnal,
    noisy,
    ramps,
    random_walk,
    said_of,
)


@pytest.mark.parametrize(
    "works",
    [
        pytest.param(noisy(diurnal(2), 1), id="a day like the last"),
        pytest.param(noisy(ramps(2), 2), id="ramps on the hour"),
        pytest.param(random_walk(2, 3), id="nothing to know"),
    ],
)
def test_the_upper_bound_is_exceeded_about_as_often_as_it_should_be(works: np.ndarray) -> None:
    said = said_of(works)
    assert coverage(works, said, 8, DAY // 2) == pytest.approx(0.93, abs=0.03)
    last = said[-1]
    assert last is not None
    assert last.coverage == pytest.approx(0.93, abs=0.03)


def test_ramps_on_the_hour_are_seen_before_they_come() -> None:
    """Five minutes before the hour the bound must already carry what comes after it."""
    works = noisy(ramps(2), 4)
    said = said_of(works)
    hours = range(DAY + 60, 2 * DAY - 60, 60)
    ahead = [said[hour - 5] for hour in hours]
    carried = [
        each is not None and each.upper >= 0.97 * works[hour - 4 : hour + 4].max()
        for each, hour in zip(ahead, hours, strict=True)
    ]
    assert np.mean(carried) > 0.9
    last = said[-1]
    assert last is not None
    assert last.skill is not None
    assert last.skill > 0.5
    assert last.weights["last_value"] < 0.1


def test_where_nothing_can_be_known_little_is_lost_to_the_last_value() -> None:
    """The last minute is the best forecast of a random walk; the others cost some percent of it."""
    last = said_of(random_walk(2, 5))[-1]
    assert last is not None
    assert last.skill is not None
    assert last.skill > -0.10


def test_what_is_said_does_not_depend_on_what_comes_later() -> None:
    """The leak that flatters: a statement must be the same whatever follows it."""
    works = noisy(ramps(1), 6)
    cut = 917
    other = works.copy()
    other[cut + 1 :] *= 5.0
    assert said_of(works)[: cut + 1] == said_of(other)[: cut + 1]


def test_starting_from_a_history_is_having_lived_through_it() -> None:
    works = noisy(diurnal(1), 7)
    works[700:730] = np.nan
    alive = Forecaster(0, 8, 0.07)
    for work in works:
        alive.observe(float(work))
    started = Forecaster.lived_through(0, works.tolist(), 8, 0.07)
    assert started.latest == alive.latest
    assert [started.observe(11.0), started.observe(12.0)] == [
        alive.observe(11.0),
        alive.observe(12.0),
    ]


def test_a_gap_says_nothing_and_is_not_mistaken_for_silence() -> None:
    """Half an hour unseen: afterwards the level is what it was, not what zeros would have made."""
    works = noisy(diurnal(1), 8)
    holed = works.copy()
    holed[700:730] = np.nan
    whole, gapped = said_of(works), said_of(holed)
    assert gapped[700:730] == [None] * 30
    for minute in (736, 760):
        one, other = whole[minute], gapped[minute]
        assert one is not None
        assert other is not None
        assert other.upper == pytest.approx(one.upper, rel=0.15)


def test_the_first_minutes_are_answered_modestly() -> None:
    said = said_of(np.array([4.0, 4.0, 4.0]))
    uppers = [each.upper for each in said if each is not None]
    assert uppers == pytest.approx([4.4, 4.4, 4.4])


def test_one_early_jump_does_not_become_the_rule() -> None:
    """In the first hours a single jump is the highest quantile there is; it must not order x10."""
    works = np.concatenate([np.full(20, 2.0), np.full(40, 20.0), np.full(40, 4.0)])
    last = said_of(works)[-1]
    assert last is not None
    assert last.upper <= 4.0 * 3.1


@pytest.mark.parametrize(
    ("work", "by"),
    [
        pytest.param(11.0, 1.1, id="more has come since"),
        pytest.param(9.0, 0.9, id="less has"),
        pytest.param(40.0, 1.25, id="a jump counts to a quarter until its minute has closed"),
        pytest.param(0.0, 0.8, id="so does silence"),
    ],
)
def test_between_minutes_a_forecast_is_carried_by_what_comes(work: float, by: float) -> None:
    said = said_of(np.full(30, 10.0))[-1]
    assert said is not None
    carried = said.carried(work)
    assert carried.upper == pytest.approx(by * said.upper)
    assert carried.expected == pytest.approx(by * said.expected)
    assert carried.weights == said.weights


def test_zero_demand_is_a_value() -> None:
    last = said_of(np.zeros(600))[-1]
    assert last is not None
    assert 0.0 <= last.upper < 0.05
