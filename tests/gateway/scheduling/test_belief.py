"""Old metrics move a choice less, missing ones not at all, and neither can ever win."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scheduling.belief import NEUTRAL, believed, least_is_best
from loadstar.arrays import Floats

NAN = math.nan


def floats(*values: float) -> Floats:
    return np.array(values, np.float64)


@pytest.mark.parametrize(
    ("scores", "confidence", "expected"),
    [
        pytest.param([0.2, 0.9], [1, 1], [0.2, 0.9], id="fresh: as they are"),
        pytest.param([0.2, 0.9], [1, 0.5], [0.2, 0.55], id="half believed: halfway to the worst"),
        pytest.param([0.2, 0.9], [0.5, 1], [0.2, 0.9], id="the worst stays the worst"),
        pytest.param([0.2, NAN, 0.9], [1, 1, 1], [0.2, 0.2, 0.9], id="unknown: as the worst"),
        pytest.param([0.7, NAN], [1, 1], [0.7, 0.7], id="one known: nobody is preferred"),
        pytest.param([NAN, NAN], [1, 1], [NEUTRAL, NEUTRAL], id="none known: neutral"),
        pytest.param([0.1, 0.9], [0, 0], [NEUTRAL, NEUTRAL], id="none believed: neutral"),
        pytest.param([0.4], [1], [0.4], id="alone"),
        pytest.param([], [], [], id="nobody"),
    ],
)
def test_believed(scores: list[float], confidence: list[float], expected: list[float]) -> None:
    assert believed(floats(*scores), floats(*confidence)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "confidence", "expected"),
    [
        pytest.param([10, 5, 0], [1, 1, 1], [0.0, 0.5, 1.0], id="fewer is better"),
        pytest.param([5, 5], [1, 1], [1.0, 1.0], id="no difference, no preference"),
        pytest.param([10, NAN, 0], [1, 1, 1], [0.0, 0.0, 1.0], id="unknown is not zero"),
        pytest.param([NAN, NAN], [1, 1], [NEUTRAL, NEUTRAL], id="nothing known"),
        pytest.param([10, 0], [1, 0.25], [0.0, 0.25], id="an old zero is a weak argument"),
        pytest.param([4, 0, 8], [1, 0, 1], [1.0, 0.0, 0.0], id="a stale zero sets no standard"),
    ],
)
def test_least_is_best(values: list[float], confidence: list[float], expected: list[float]) -> None:
    column, slots = floats(*values), np.arange(len(values))
    assert least_is_best(column, slots, floats(*confidence)).tolist() == pytest.approx(expected)


def test_slots_pick_rows_of_the_column() -> None:
    column = floats(9, 1, 9, 3, 2)
    scores = least_is_best(column, np.array([4, 1, 3]), floats(1, 1, 1))
    assert scores.tolist() == [0.5, 1.0, 0.0]


known = st.floats(0, 1)
scored = st.lists(st.tuples(known | st.just(NAN), st.floats(0, 1)), min_size=1, max_size=12)


@given(scored)
def test_belief_stays_within_zero_and_one_and_never_helps(pairs: list[tuple[float, float]]) -> None:
    scores, confidence = floats(*(s for s, _ in pairs)), floats(*(c for _, c in pairs))
    result = believed(scores, confidence)
    assert ((result >= 0) & (result <= 1)).all()
    trusted = ~np.isnan(scores) & (confidence > 0)
    if trusted.any():
        worst = scores[trusted].min()
        assert (result >= worst - 1e-12).all()
        assert (result[trusted] <= scores[trusted] + 1e-12).all()
        assert np.allclose(result[np.isnan(scores)], worst)
