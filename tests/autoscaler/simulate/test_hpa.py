"""The arithmetic of the Horizontal Pod Autoscaler, by its conformance vectors and its laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.simulate.hpa import (
    NoMetric,
    Pods,
    Tolerance,
    pods_average,
    together,
    total_average,
    total_value,
)
from autoscaler.simulate.hpa_behavior import Bounds, Hpa, Rate, Rules

TARGET_MILLI = 500


@pytest.mark.parametrize(
    ("samples", "missing", "pending", "size"),
    [
        pytest.param([900] * 4, 0, 0, 8, id="busy pods double"),
        pytest.param([549] * 4, 0, 0, 4, id="within tolerance holds"),
        pytest.param([900] * 3, 1, 0, 6, id="a missing pod counts as idle on the way up"),
        pytest.param([100] * 3, 1, 0, 2, id="a missing pod counts as on target on the way down"),
        pytest.param([900] * 2, 0, 2, 4, id="pending pods damp the way up"),
        pytest.param([2000] * 2, 0, 2, 8, id="pending pods damp it and do not stop it"),
        pytest.param([900] * 2, 2, 0, 4, id="missing pods turn the direction: hold"),
        pytest.param([500], 3, 0, 1, id="on target to the last digit, missing pods count as idle"),
    ],
)
def test_a_pods_metric_proposes(samples: list[int], missing: int, pending: int, size: int) -> None:
    current = len(samples) + missing + pending
    pods = Pods.of(samples, missing, pending)
    assert pods_average(pods, TARGET_MILLI, current) == size


@pytest.mark.parametrize(
    ("current", "total", "size"),
    [
        (20, 21, 20),
        (20, 22, 22),
        (20, 18, 20),
        (20, 17, 17),
        (10, 9, 10),
        (10, 11, 11),
        (11, 12, 11),
    ],
)
def test_a_desired_replicas_metric_is_swallowed_within_the_tolerance(
    current: int, total: int, size: int
) -> None:
    assert total_average(total * 1000, 1000, current) == size


def test_no_tolerance_lets_every_replica_through() -> None:
    none = Tolerance(0.0, 0.0)
    assert [total_average(n * 1000, 1000, 20, none) for n in (18, 19, 20, 21)] == [18, 19, 20, 21]


def test_a_total_value_multiplies_ready_pods_not_the_size() -> None:
    assert total_value(200_000, 100_000, current=4, ready=3) == 6
    assert total_value(200_000, 100_000, current=0, ready=0) == 2


def test_no_sample_is_an_error_and_not_zero() -> None:
    assert isinstance(pods_average(Pods(0.0, 0, missing=3), TARGET_MILLI, 3), NoMetric)
    assert isinstance(total_average(None, TARGET_MILLI, 3), NoMetric)


def test_an_error_among_metrics_stops_the_way_down_only() -> None:
    error = NoMetric("gone")
    assert together([3, error], current=5) == error
    assert Hpa().sync(0.0, 5, Bounds(1, 9), [3, error]) == 5
    assert together([8, error], current=5) == 8
    assert together([3, 4], current=5) == 4
    assert together([error], current=5) == error


def test_a_sync_that_fails_is_nothing_that_a_window_remembers() -> None:
    """Ten minutes on, a lower proposal takes effect at once: what was held in between is no size
    that anybody recommended.
    """
    hpa = Hpa()
    assert hpa.sync(0.0, 9, Bounds(1, 20), [9]) == 9
    assert hpa.sync(590.0, 9, Bounds(1, 20), [3, NoMetric("gone")]) == 9
    assert hpa.sync(605.0, 9, Bounds(1, 20), [3]) == 3


def test_a_workload_at_zero_stays_there() -> None:
    assert Hpa().sync(0, 0, Bounds(1, 10), [5]) == 0


def test_a_raised_minimum_takes_effect_at_the_next_sync_whatever_the_rate() -> None:
    slow = Hpa(up=Rules(0, (Rate("Pods", 1, 60),)))
    assert slow.sync(0, 4, Bounds(1, 20), [4]) == 4
    assert slow.sync(15, 4, Bounds(9, 20), [4]) == 9


def test_the_jump_of_a_raised_minimum_uses_up_the_rate_of_its_period() -> None:
    slow = Hpa(up=Rules(0, (Rate("Pods", 2, 60),)))
    slow.sync(0, 4, Bounds(9, 20), [4])
    assert slow.sync(15, 9, Bounds(9, 20), [15]) == 9
    assert slow.sync(61, 9, Bounds(9, 20), [15]) == 11


def test_the_way_down_follows_the_highest_of_the_window() -> None:
    hpa = Hpa()
    current = 10
    sizes = []
    for at_s, proposal in ((0, 10), (75, 9), (150, 6), (225, 4)):
        current = hpa.sync(at_s, current, Bounds(1, 20), [proposal])
        sizes.append(current)
    assert sizes == [10, 10, 10, 10]
    assert hpa.sync(301, 10, Bounds(1, 20), [4]) == 9
    assert hpa.sync(376, 9, Bounds(1, 20), [4]) == 6


def test_the_way_up_doubles_or_adds_four_in_a_period() -> None:
    hpa = Hpa()
    assert hpa.sync(0, 2, Bounds(1, 100), [50]) == 6
    assert hpa.sync(15, 6, Bounds(1, 100), [50]) == 12


def test_without_behavior_one_sync_at_most_doubles() -> None:
    hpa = Hpa(plain=True)
    assert hpa.sync(0, 1, Bounds(1, 100), [50]) == 4
    assert hpa.sync(15, 4, Bounds(1, 100), [50]) == 8


def test_disabled_means_no_way_down() -> None:
    hpa = Hpa(down=Rules(0, (), select="Disabled"))
    assert hpa.sync(0, 8, Bounds(1, 20), [2]) == 8


@given(
    least=st.integers(1, 10),
    more=st.integers(0, 30),
    proposals=st.lists(st.integers(0, 60) | st.none(), min_size=1, max_size=40),
)
def test_a_size_is_within_bounds_after_the_first_sync(
    least: int, more: int, proposals: list[int | None]
) -> None:
    bounds, hpa, current = Bounds(least, least + more), Hpa(), 5
    for index, proposal in enumerate(proposals):
        given_one = NoMetric("gap") if proposal is None else proposal
        current = hpa.sync(15.0 * index, current, bounds, [given_one])
        assert bounds.least <= current <= bounds.most
