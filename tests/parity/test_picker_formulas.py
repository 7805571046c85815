"""Pickers choose as the reference's do: the best, anybody, or by chance in proportion to score."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from gateway.plugins.pickers.max_score import MaxScore
from gateway.plugins.pickers.random_choice import RandomChoice
from gateway.plugins.pickers.weighted_random import WeightedRandom
from gateway.scheduling.types import Cycle, Picker
from tests.builders import candidates, cycle, pool

DRAWS = 6000


def picks(picker: Picker, scores: list[float]) -> Counter[int]:
    state = pool(size=len(scores))
    asked = cycle(state, seed=7)
    among = candidates(state)
    return Counter(int(picker.pick(asked, among, np.array(scores))[0]) for _ in range(DRAWS))


def shares(counts: Counter[int], size: int) -> list[float]:
    return [counts[index] / DRAWS for index in range(size)]


def order(picker: Picker, scores: list[float], asked: Cycle | None = None) -> list[int]:
    state = pool(size=len(scores))
    chosen = picker.pick(asked or cycle(state), candidates(state), np.array(scores))
    return [int(index) for index in chosen]


def test_max_score_picker_takes_the_best_and_splits_ties_evenly() -> None:
    counts = picks(MaxScore(), [1.0, 3.0, 2.0, 3.0])
    assert set(counts) == {1, 3}
    assert counts[1] / DRAWS == pytest.approx(0.5, abs=0.03)


def test_max_score_picker_gives_as_many_as_asked_for_best_first() -> None:
    assert order(MaxScore(3), [1.0, 4.0, 2.0, 3.0]) == [1, 3, 2]
    assert order(MaxScore(9), [1.0, 4.0]) == [1, 0]


def test_random_picker_ignores_scores() -> None:
    assert shares(picks(RandomChoice(), [9.0, 0.0, 1.0, 0.0]), 4) == pytest.approx(
        [0.25] * 4, abs=0.03
    )


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([1.0, 3.0], [0.25, 0.75], id="in proportion"),
        pytest.param([2.0, 0.0, 6.0], [0.25, 0.0, 0.75], id="zero never first"),
        pytest.param([0.0, 0.0], [0.5, 0.5], id="all zero: anybody"),
        pytest.param([1e-4, 3e-4], [0.25, 0.75], id="small scores do not underflow"),
    ],
)
def test_weighted_random_picker(scores: list[float], expected: list[float]) -> None:
    found = shares(picks(WeightedRandom(), scores), len(scores))
    assert found == pytest.approx(expected, abs=0.03)


def test_weighted_random_picker_draws_without_replacement_and_zeros_last() -> None:
    for seed in range(50):
        drawn = order(WeightedRandom(4), [1.0, 0.0, 5.0, 2.0], cycle(pool(size=4), seed=seed))
        assert sorted(drawn) == [0, 1, 2, 3]
        assert drawn[-1] == 1


def test_weighted_random_picker_is_a_res() -> None:
    """The key of each candidate is U^(1/score), drawn in candidate order."""
    scores = [0.5, 2.0, 1.0, 4.0]
    rng = random.Random(1)
    keys = [rng.random() ** (1 / score) for score in scores]
    expected = sorted(range(4), key=lambda index: -keys[index])
    assert order(WeightedRandom(4), scores, cycle(pool(size=4), seed=1)) == expected
