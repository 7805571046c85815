"""One demand under every controller: tuned rivals, ours, and the oracle they are measured by.

The first part of the trace is to tune on, the rest is judged; a trace too short for that is judged
as a whole, with each rival's best knob in hindsight, which flatters them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from autoscaler.simulate.catalog import CONTROLLERS, OURS
from autoscaler.simulate.record import Outcome, Recorder, outcome
from autoscaler.simulate.scenario import Scenario
from autoscaler.simulate.tune import LIMIT, Point, cheapest

DAY_S: Final = 86400.0
TRAIN_SHARE: Final = 0.5
TRAIN_MOST_S: Final = 4 * DAY_S
SHORTEST_TRAIN_S: Final = DAY_S
ORACLE: Final = "oracle"


@dataclass(frozen=True, slots=True)
class Split:
    """Seconds of the trace to tune on, and to judge."""

    train: tuple[float, float]
    judged: tuple[float, float]

    @classmethod
    def of(cls, seconds: float, train_days: float | None = None) -> Split:
        """The last half is judged, the days before it tuned on; or as ``train_days`` has it."""
        if train_days is not None:
            middle = min(train_days * DAY_S, seconds)
        else:
            middle = round(seconds * TRAIN_SHARE / DAY_S) * DAY_S
        if middle < SHORTEST_TRAIN_S or middle >= seconds:
            return cls((0.0, seconds), (0.0, seconds))
        return cls((max(0.0, middle - TRAIN_MOST_S), middle), (middle, seconds))


@dataclass(frozen=True, slots=True)
class Result:
    """One controller's line."""

    name: str
    knob: float | None
    outcome: Outcome
    recorder: Recorder


def backtest(
    scenario: Scenario,
    split: Split,
    controllers: Sequence[str],
    *,
    tuned: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Result]:
    """Results in the order of ``controllers``; the oracle's knob is always hindsight's."""
    for name in controllers:
        progress(name)
        knob = None
        grid = CONTROLLERS[name].grid
        if grid and (tuned or name == ORACLE):
            span = split.judged if name == ORACLE else split.train
            knob = best_knob(scenario, name, grid, span)
        # Ours learns from the beginning; the others remember minutes, and start a little before.
        start_s = 0.0 if name == OURS else max(0.0, split.judged[0] - 3600.0)
        part = scenario.cut(start_s, split.judged[1])
        recorder, plant = part.recorded(name, knob)
        made = outcome(name, recorder, plant.calls, from_s=split.judged[0] - start_s)
        yield Result(name, knob, made, recorder)


def best_knob(
    scenario: Scenario, name: str, grid: Sequence[float], span: tuple[float, float]
) -> float:
    """The cheapest of ``grid`` that keeps the violations low in ``span``."""
    part = scenario.cut(*span)
    points = []
    for knob in grid:
        made = part.outcome(name, knob)
        points.append(Point(knob, made.cost, made.violation_fraction))
    return cheapest(points, LIMIT).knob
