"""Series, conformal bounds, mix and ridge, each by its own law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.forecast.conformal import Conformal
from autoscaler.forecast.features import WIDTH, features, level
from autoscaler.forecast.mix import Mix, pinball
from autoscaler.forecast.outlook import MINUTES_AHEAD, Outlook
from autoscaler.forecast.profile import DayProfile
from autoscaler.forecast.ridge import Moments
from autoscaler.forecast.seasonal import Yesterday
from autoscaler.forecast.series import DAY, MinuteSeries
from tests.autoscaler.forecast.weeks import diurnal, noisy


def series_of(works: list[float], horizon: int = 3, kept: int = 30) -> MinuteSeries:
    series = MinuteSeries(0, kept)
    for work in works:
        series.add(work, horizon)
    return series


@given(
    st.lists(st.floats(0.02, 1e4) | st.just(math.nan), min_size=1, max_size=150),
    st.integers(1, 6),
)
def test_labels_are_the_largest_of_whole_windows(works: list[float], horizon: int) -> None:
    """Also after old days have gone; a window with a gap has no label."""
    series = series_of(works, horizon)
    for ago in range(len(series)):
        at = len(works) - 1 - ago
        window = works[at : at + 1 + horizon]
        label = series.label(ago)
        if len(window) < horizon + 1 or any(math.isnan(w) for w in window):
            assert math.isnan(label)
        else:
            assert math.exp(label) == pytest.approx(max(window[1:]))


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=150), st.integers(1, 30))
def test_means_are_those_of_what_is_kept(works: list[float], minutes: int) -> None:
    series = series_of(works)
    seen = works[-min(minutes, len(series)) :]
    assert series.mean(minutes) == pytest.approx(sum(seen) / len(seen), abs=1e-6)


def test_the_row_of_a_young_series_marks_what_it_lacks() -> None:
    row = features(series_of([5.0] * 20))
    assert row.shape == (WIDTH,)
    assert np.isnan(row).sum() == 6  # three days ago by two
    assert row[0] == pytest.approx(math.log(5.0))
    assert np.abs(row[1:9]).max() == pytest.approx(0.0)


def test_conformal_bounds_learn_the_quantile_of_what_is_missing() -> None:
    rng = np.random.default_rng(1)
    bound = Conformal(0.1)
    missed = []
    for score in rng.normal(0.0, 1.0, 6000):
        upper = bound.upper(10.0, 1.0)
        missed.append(10.0 + score > upper)
        bound.learn(10.0 + score, 10.0, 1.0, upper)
    assert np.mean(missed[1000:]) == pytest.approx(0.1, abs=0.015)
    assert bound.upper(10.0, 1.0) == pytest.approx(10.0 + 1.28, abs=0.15)


def test_conformal_bounds_follow_a_world_that_gets_wilder() -> None:
    rng = np.random.default_rng(2)
    bound = Conformal(0.1)
    missed = []
    for i in range(8000):
        actual = 10.0 + rng.normal(0.0, 1.0 if i < 3000 else 3.0)
        upper = bound.upper(10.0, 1.0)
        missed.append(actual > upper)
        bound.learn(actual, 10.0, 1.0, upper)
    assert np.mean(missed[5000:]) == pytest.approx(0.1, abs=0.03)


@given(st.floats(0.01, 0.5), st.floats(0, 100), st.floats(0, 100))
def test_pinball_loss_is_least_at_the_truth(miss: float, actual: float, upper: float) -> None:
    assert pinball(actual, actual, miss) == 0.0
    assert pinball(actual, upper, miss) >= 0.0


def test_the_mix_moves_to_whoever_loses_less_and_back() -> None:
    mix = Mix(2, 0.1)
    for _ in range(400):
        mix.learn(10.0, [10.5, 20.0], 10.0)
    assert mix.weights()[0] > 0.9
    for _ in range(400):
        mix.learn(10.0, [20.0, 10.5], 10.0)
    assert mix.weights()[1] > 0.4
    assert sum(mix.weights()) == pytest.approx(1.0)


def test_ridge_finds_a_linear_law_and_stands_missing_features() -> None:
    rng = np.random.default_rng(3)
    moments = Moments()
    for i in range(4000):
        row = rng.normal(0.0, 1.0, WIDTH)
        target = 0.5 * row[1] - 0.2 * row[2] + 0.1
        if i < 500:
            row[5:9] = np.nan
        row[10] = 1.0  # never moves
        moments.add(row, np.array([target]))
    fitted = moments.solve()
    coefficients = fitted.coefficients[:, 0]
    assert coefficients[1] == pytest.approx(0.5, abs=0.01)
    assert coefficients[2] == pytest.approx(-0.2, abs=0.01)
    assert abs(coefficients[10]) < 1e-9
    assert fitted.rise(np.zeros(WIDTH)) == pytest.approx([0.1], abs=0.02)
    assert fitted.rise(np.full(WIDTH, 100.0)) == pytest.approx([1.5])  # bounded


def test_yesterday_and_the_profile_tell_the_day_when_they_have_seen_one() -> None:
    series, profile = MinuteSeries(0, 3 * DAY), DayProfile()
    for work in diurnal(2)[:-120]:
        series.add(float(work), 8)
        profile.learn(series, 8)
    at = len(series)
    most = diurnal(2)[at : at + 8].max()
    assert Yesterday().expect(series, 8) == pytest.approx(most, rel=0.02)
    assert profile.expect(series, 8) == pytest.approx(most, rel=0.05)


def test_without_a_yesterday_both_say_the_last_value() -> None:
    series, profile = series_of([3.0] * 20), DayProfile()
    assert Yesterday().expect(series, 8) == pytest.approx(3.0)
    assert profile.expect(series, 8) == pytest.approx(3.0)


def test_the_outlook_sees_an_hour_of_the_day_ahead_and_covers_it() -> None:
    works = noisy(diurnal(2), 9)
    series, outlook = MinuteSeries(0, 4 * DAY), Outlook(0.07)
    errors: dict[int, list[float]] = {minutes: [] for minutes in MINUTES_AHEAD}
    covered: list[bool] = []
    for minute, work in enumerate(works):
        series.add(float(work), 8)
        outlook.observe(series, features(series), level(series))
        if minute % 5 or minute < DAY + 240:
            continue
        for each in outlook.latest:
            if minute + each.minutes < len(works):
                actual = float(works[minute + each.minutes])
                errors[each.minutes].append(abs(each.expected / actual - 1.0))
                covered.append(actual <= each.upper)
    assert all(np.mean(error) < 0.05 for error in errors.values())
    assert np.mean(covered) == pytest.approx(0.93, abs=0.04)


def test_the_outlook_keeps_its_word_through_a_gap() -> None:
    series, outlook = MinuteSeries(0, DAY), Outlook(0.07)
    for work in [*([5.0] * 100), *([math.nan] * 30)]:
        series.add(work, 8)
        outlook.observe(series, features(series), level(series))
    assert [each.minutes for each in outlook.latest] == list(MINUTES_AHEAD)
    assert all(each.expected == pytest.approx(5.0) for each in outlook.latest)
