"""The scheduler asks producers, then profiles, and tells the learners what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from gateway.datalayer.state import Endpoint
from gateway.errors import NoEndpoint, NothingFits
from gateway.plugins.handlers.single import SingleProfile
from gateway.plugins.pickers.max_score import MaxScore
from gateway.scheduling.profile import NamedFilter, Profile, WeightedScorer
from gateway.scheduling.scheduler import Scheduler
from gateway.scheduling.types import Candidates, Cycle, Decision
from loadstar.arrays import Bools, Floats
from tests.builders import NOW, cycle, endpoint, pool


def fresh(observed_at: Floats, now: float) -> Floats:
    return np.where(now - observed_at <= 2.0, 1.0, 0.0)


@dataclass
class Diary:
    """A plugin that writes down what it is told."""

    told: list[str] = field(default_factory=list)

    def produce(self, cycle: Cycle) -> None:
        self.told.append("produce")

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        self.told.append(f"score {[e.name for e in candidates.endpoints]}")
        return candidates.confidence

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        self.told.append(f"picked {decision.endpoints[0].name}")

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        self.told.append(f"served {endpoint.name}")

    def left(self, endpoint: Endpoint) -> None:
        self.told.append(f"left {endpoint.name}")

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        return (("x-served", endpoint.name),)


class KeepsNobody:
    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        return np.zeros(len(candidates), np.bool_)


def scheduler(*plugins: object, filters: tuple[NamedFilter, ...] = ()) -> Scheduler:
    scorers = tuple(WeightedScorer(p, 1.0) for p in plugins if isinstance(p, Diary))
    return Scheduler(
        [Profile("default", filters, scorers, MaxScore())], SingleProfile(), plugins, fresh
    )


def test_a_decision_says_who_and_why() -> None:
    state = pool(size=2, observed_at=[NOW, NOW - 10])
    decision = scheduler(Diary()).schedule(cycle(state), state.endpoints)
    assert decision.endpoints == (state.endpoints[0],)
    assert decision.profile == "default"
    assert dict(decision.results["default"].scores) == {"10.0.0.1:8000": 1.0}


def test_a_plugin_is_told_in_order() -> None:
    diary, state = Diary(), pool(size=2)
    tested, asked = scheduler(diary), cycle(state)
    decision = tested.schedule(asked, state.endpoints)
    tested.picked(asked, decision)
    tested.served(asked, decision, state.endpoints[1])
    tested.left(state.endpoints[0])
    first = decision.endpoints[0].name
    assert diary.told == [
        "produce",
        "score ['pod-0', 'pod-1']",
        f"picked {first}",
        "served pod-1",
        "left pod-0",
    ]
    assert tested.response_headers(asked, state.endpoints[1]) == (("x-served", "pod-1"),)


def test_only_the_endpoints_given_are_candidates() -> None:
    diary, state = Diary(), pool(size=4)
    scheduler(diary).schedule(cycle(state), (state.endpoints[3], state.endpoints[1]))
    assert diary.told == ["produce", "score ['pod-3', 'pod-1']"]


def test_slots_need_not_be_in_order() -> None:
    state = pool(endpoint(5), endpoint(2), observed_at=[NOW - 10, NOW])
    decision = scheduler(Diary()).schedule(cycle(state), state.endpoints)
    assert decision.endpoints[0].slot == 2


def test_no_endpoint_is_a_503_and_nobody_left_a_429() -> None:
    state = pool(size=1)
    with pytest.raises(NoEndpoint):
        scheduler().schedule(cycle(state), ())
    with pytest.raises(NothingFits):
        scheduler(filters=(NamedFilter("nobody", KeepsNobody()),)).schedule(
            cycle(state), state.endpoints
        )


def test_a_scheduler_without_announcers_adds_no_header() -> None:
    state = pool(size=1)
    assert scheduler().response_headers(cycle(state), state.endpoints[0]) == ()
