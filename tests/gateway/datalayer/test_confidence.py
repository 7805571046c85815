"""Numbers are believed less the older they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.confidence import confidence


@pytest.mark.parametrize(
    ("age", "believed"),
    [
        pytest.param(0.0, 1.0, id="now"),
        pytest.param(-5.0, 1.0, id="in the future"),
        pytest.param(1.0, 1.0, id="half the threshold"),
        pytest.param(1.5, 0.5, id="three quarters"),
        pytest.param(2.0, 0.0, id="the threshold"),
        pytest.param(1000.0, 0.0, id="long ago"),
        pytest.param(math.inf, 0.0, id="never"),
        pytest.param(math.nan, 0.0, id="not a time"),
    ],
)
def test_age_decides(age: float, believed: float) -> None:
    assert confidence(np.array([100.0 - age]), 100.0, 2.0).tolist() == [believed]


def test_each_endpoint_has_its_own() -> None:
    assert confidence(np.array([100.0, 98.5, -np.inf]), 100.0, 2.0).tolist() == [1.0, 0.5, 0.0]


def test_nobody_has_none() -> None:
    assert confidence(np.empty(0), 100.0, 2.0).tolist() == []


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_without_a_threshold_only_this_moment_counts(threshold: float) -> None:
    assert confidence(np.array([100.0, 99.9]), 100.0, threshold).tolist() == [1.0, 0.0]


times = st.floats(-1e9, 1e9)


@given(times, times, times, st.floats(0.001, 1e6))
def test_it_never_rises_with_age(a: float, b: float, now: float, threshold: float) -> None:
    older, newer = sorted((a, b))
    of_older, of_newer = confidence(np.array([older, newer]), now, threshold).tolist()
    assert 0.0 <= of_older <= of_newer <= 1.0
