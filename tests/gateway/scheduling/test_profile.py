"""A profile filters, then adds clamped weighted scores, then picks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from gateway.errors import NothingFits
from gateway.scheduling.profile import NamedFilter, Profile, WeightedScorer, preferred
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools, Floats, Ints
from tests.builders import candidates, cycle, pool


@dataclass(frozen=True)
class Scores:
    """A scorer with its answer ready, by slot."""

    by_slot: tuple[float, ...]

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        return np.array([self.by_slot[slot] for slot in candidates.slots], np.float64)


@dataclass(frozen=True)
class Keeps:
    """A filter that keeps some slots."""

    slots: frozenset[int]

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        return np.array([slot in self.slots for slot in candidates.slots.tolist()], np.bool_)


class Best:
    def pick(self, cycle: Cycle, candidates: Candidates, scores: Floats) -> Ints:
        return np.argsort(-scores, kind="stable")


def profile(*scorers: tuple[Scores, float], filters: tuple[Keeps, ...] = ()) -> Profile:
    return Profile(
        "default",
        tuple(NamedFilter(f"filter-{index}", keeps) for index, keeps in enumerate(filters)),
        tuple(WeightedScorer(scorer, weight) for scorer, weight in scorers),
        Best(),
    )


def test_scores_are_clamped_then_weighted_then_added() -> None:
    run = profile((Scores((0.5, 1.0, -3.0)), 2.0), (Scores((7.0, 0.25, math.nan)), 3.0)).run(
        cycle(), candidates()
    )
    assert dict(run.scores) == {
        "10.0.0.1:8000": 0.5 * 2 + 1.0 * 3,
        "10.0.0.2:8000": 1.0 * 2 + 0.25 * 3,
        "10.0.0.3:8000": 0.0,
    }
    assert [endpoint.name for endpoint in run.picked] == ["pod-0", "pod-1", "pod-2"]


def test_filters_run_in_order_on_what_is_left() -> None:
    run = profile(
        (Scores((1, 2, 3, 4)), 0.1),
        filters=(Keeps(frozenset({0, 1, 3})), Keeps(frozenset({0, 1, 2}))),
    ).run(cycle(pool(size=4)), candidates(pool(size=4)))
    assert sorted(endpoint.name for endpoint in run.picked) == ["pod-0", "pod-1"]


def test_a_filter_that_drops_everybody_is_named() -> None:
    run = profile(filters=(Keeps(frozenset({0, 1})), Keeps(frozenset({2}))))
    with pytest.raises(NothingFits, match='no endpoint satisfies the filter "filter-1"'):
        run.run(cycle(), candidates())


def test_a_profile_without_scorers_scores_everybody_zero() -> None:
    run = profile().run(cycle(), candidates())
    assert list(run.scores.values()) == [0.0, 0.0, 0.0]


def test_whom_nothing_is_known_of_is_not_preferred() -> None:
    run = profile((Scores((0, 1, 0.5)), 1.0)).run(cycle(), candidates(confidence=[1.0, 0.0, 0.1]))
    assert [endpoint.name for endpoint in run.picked] == ["pod-2", "pod-0"]


def test_when_nothing_is_known_of_anybody_all_stay() -> None:
    everybody = candidates(confidence=0.0)
    assert preferred(everybody) is everybody


def test_filters_see_those_nothing_is_known_of() -> None:
    """The only endpoint a filter allows is used, stale or not."""
    run = profile(filters=(Keeps(frozenset({1})),)).run(
        cycle(), candidates(confidence=[1.0, 0.0, 1.0])
    )
    assert [endpoint.name for endpoint in run.picked] == ["pod-1"]


def test_scores_are_a_mapping_by_destination() -> None:
    scores = profile((Scores((0.5, 0.25, 0)), 1.0)).run(cycle(), candidates()).scores
    assert len(scores) == 3
    assert scores["10.0.0.2:8000"] == 0.25
    assert "10.9.9.9:1" not in scores
    assert scores == {"10.0.0.1:8000": 0.5, "10.0.0.2:8000": 0.25, "10.0.0.3:8000": 0.0}
