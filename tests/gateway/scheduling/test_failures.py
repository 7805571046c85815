"""A plugin that raises costs its opinion: the others decide, and somebody is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from gateway.datalayer.state import Endpoint
from gateway.errors import Denied
from gateway.plugins.handlers.single import SingleProfile
from gateway.scheduling.failures import Failure, asked, told
from gateway.scheduling.profile import NamedFilter, Profile, WeightedScorer
from gateway.scheduling.scheduler import Scheduler
from gateway.scheduling.types import Candidates, Cycle, Decision, Filter, Picker, Scorer
from loadstar.arrays import Bools, Floats, Ints
from tests.builders import cycle


class Broken:
    """Every kind of plugin, each with a bug."""

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        raise ZeroDivisionError

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        raise ZeroDivisionError

    def pick(self, cycle: Cycle, candidates: Candidates, scores: Floats) -> Ints:
        raise ZeroDivisionError

    def produce(self, cycle: Cycle) -> None:
        raise ZeroDivisionError

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        raise ZeroDivisionError

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        raise ZeroDivisionError

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        raise ZeroDivisionError


class Sound:
    """Prefers the last candidate, and remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        return np.arange(len(candidates)) / len(candidates)

    def pick(self, cycle: Cycle, candidates: Candidates, scores: Floats) -> Ints:
        return np.argsort(-scores)[:1]

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        self.told.append("picked")

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        self.told.append("served")

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        return [("x-sound", endpoint.name)]


@dataclass(frozen=True, slots=True)
class Scene:
    """A scheduler of one profile, and one request to schedule."""

    scheduler: Scheduler
    failures: list[Failure] = field(default_factory=list)

    def cycle(self) -> Cycle:
        made = cycle()
        made.failures = self.failures
        return made

    def picked(self) -> list[str]:
        made = self.cycle()
        return [e.name for e in self.scheduler.schedule(made, made.state.endpoints).endpoints]

    def points(self) -> list[str]:
        return [failure.point for failure in self.failures]


def scene(
    *,
    filters: Sequence[Filter] = (),
    scorers: Sequence[Scorer] = (),
    picker: Picker | None = None,
    plugins: Sequence[object] = (),
) -> Scene:
    profile = Profile(
        "default",
        tuple(NamedFilter("filter", f) for f in filters),
        tuple(WeightedScorer(s, 1.0) for s in scorers),
        picker or Sound(),
    )
    return Scene(Scheduler([profile], SingleProfile(), plugins, lambda seen, now: seen * 0 + 1.0))


@pytest.mark.parametrize(
    ("made", "point"),
    [
        pytest.param(scene(scorers=[Broken(), Sound()]), "score", id="scorer: others score"),
        pytest.param(scene(filters=[Broken()], scorers=[Sound()]), "filter", id="filter: all stay"),
        pytest.param(scene(scorers=[Sound()], picker=Broken()), "pick", id="picker: best total"),
        pytest.param(
            scene(scorers=[Sound()], plugins=[Broken()]), "produce", id="producer: nothing found"
        ),
    ],
)
def test_the_others_decide(made: Scene, point: str) -> None:
    assert made.picked() == ["pod-2"]
    assert made.points() == [point]


def test_a_learner_that_raises_leaves_the_next_its_news() -> None:
    sound = Sound()
    made = scene(scorers=[Sound()], plugins=[Broken(), sound])
    now = made.cycle()
    decision = made.scheduler.schedule(now, now.state.endpoints)
    made.scheduler.picked(now, decision)
    made.scheduler.served(now, decision, now.state.endpoints[0])
    assert sound.told == ["picked", "served"]
    assert made.points() == ["produce", "picked", "served"]


def test_headers_of_others_stay_when_one_plugin_raises() -> None:
    made = scene(plugins=[Broken(), Sound()])
    now = made.cycle()
    headers = made.scheduler.response_headers(now, now.state.endpoints[0])
    assert headers == (("x-sound", "pod-0"),)
    assert made.points() == ["response-headers"]


def test_a_failure_says_who_raised_what() -> None:
    broken = Broken()
    made = scene(scorers=[broken])
    made.picked()
    (failure,) = made.failures
    assert failure.plugin is broken
    assert isinstance(failure.error, ZeroDivisionError)


def test_a_refusal_is_an_answer() -> None:
    class Denying(Broken):
        def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
            raise Denied("not you")

    made = scene(scorers=[Denying()])
    with pytest.raises(Denied):
        made.picked()
    assert made.failures == []


def test_what_is_no_mere_failure_is_not_held_up() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    failures: list[Failure] = []
    for way in (asked, told):
        with pytest.raises(KeyboardInterrupt):
            way(failures, None, "score", stop)
    assert failures == []


def test_a_sound_profile_reports_nothing() -> None:
    made = scene(scorers=[Sound()])
    assert made.picked() == ["pod-2"]
    assert made.points() == []
