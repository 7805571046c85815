"""What a run came to: flaps, coverage, and choosing among knobs."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.simulate.backtest import DAY_S, Split
from autoscaler.simulate.record import Minute, Recorder, coverage, encoded, flaps, outcome
from autoscaler.simulate.scenario import MONDAY_S, Scenario
from autoscaler.simulate.tune import (
    Point,
    cheapest,
    cost_at,
    front,
    geometric_mean,
    interval,
    violations_at,
)
from autoscaler.sizing.decision import Decision, Reason
from tests.autoscaler.simulate.builders import RPS_OF_REPLICA, constant, plant_spec, policy


def test_a_flap_is_a_turn_within_a_quarter_of_an_hour() -> None:
    assert flaps([(0, 5), (600, 4)], before=3) == 1
    assert flaps([(0, 5), (900, 4)], before=3) == 0
    assert flaps([(0, 5), (60, 7), (120, 9)], before=3) == 0
    assert flaps([(0, 5), (60, 4), (120, 5)], before=3) == 2


def test_the_first_change_may_be_the_one_that_is_undone() -> None:
    recorder = Recorder(sized=3)
    for at_s, size in ((0.0, 3), (60.0, 5), (120.0, 3)):
        decision = Decision(replicas={"a": size}, reason=Reason.STEADY)
        recorder.decision(at_s, at_s, decision, changed=True)
    found = outcome("m", recorder, [])
    assert (found.actions, found.flaps) == (2, 1)


def test_a_forecast_holds_if_demand_stays_under_it_until_its_horizon() -> None:
    recorder = Recorder(minutes=[Minute(believed_work_s=60.0 * n) for n in (1, 2, 5, 2, 1)])
    recorder.forecasts = [(0, 120, 2), (60, 180, 4), (120, 300, 5), (180, 999, 9)]
    assert coverage(recorder, 0, math.inf) == pytest.approx(2 / 3)
    assert coverage(Recorder(), 0, math.inf) is None


def test_the_knob_is_the_cheapest_good_one_or_the_least_bad() -> None:
    points = [Point(1, 10, 0.02), Point(2, 12, 0.004), Point(3, 15, 0.0)]
    assert cheapest(points).knob == 2
    assert cheapest(points[:1]).knob == 1


def test_a_front_is_read_between_its_points() -> None:
    points = [Point(1, 10, 0.04), Point(2, 20, 0.01), Point(3, 19, 0.02), Point(4, 25, 0.02)]
    assert [p.knob for p in front(points)] == [1, 3, 2]
    assert violations_at(points, 10) == pytest.approx(0.04)
    assert violations_at(points, 14.5) == pytest.approx(math.sqrt(0.04 * 0.02))
    assert cost_at(points, 0.02) == pytest.approx(19)
    assert violations_at(points, 99) == pytest.approx(0.01)


@given(
    st.lists(
        st.builds(Point, st.just(0.0), st.floats(1, 100), st.floats(0, 1)), min_size=1, max_size=20
    )
)
def test_no_point_beats_the_front(points: list[Point]) -> None:
    best = front(points)
    costs = [p.cost for p in best]
    assert costs == sorted(costs)
    for point in points:
        assert any(b.cost <= point.cost and b.violations <= point.violations for b in best)


def test_ratios_are_averaged_geometrically_and_given_an_interval() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    low, high = interval([1.0] * 20, [2.0] * 20, np.random.default_rng(1))
    assert (low, high) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("days", "train_days", "train", "judged"),
    [
        (14, None, (3, 7), (7, 14)),
        (10, 7, (3, 7), (7, 10)),
        (2, None, (0, 1), (1, 2)),
        (0.5, None, (0, 0.5), (0, 0.5)),
    ],
)
def test_a_trace_is_split_into_days_to_tune_on_and_days_to_judge(
    days: float, train_days: float | None, train: tuple[float, float], judged: tuple[float, float]
) -> None:
    split = Split.of(days * DAY_S, train_days)
    assert split.train == (train[0] * DAY_S, train[1] * DAY_S)
    assert split.judged == (judged[0] * DAY_S, judged[1] * DAY_S)


def test_who_waits_in_vain_until_the_end_is_late() -> None:
    """One replica under the work of fifty, for a minute: nobody has been abandoned yet."""
    world = Scenario(
        plant=plant_spec(initialReplicas=1),
        policy=policy(maxReplicas=1),
        demand=constant(50 * RPS_OF_REPLICA, 60),
    )
    made = world.outcome("static")
    assert 0.95 < made.violation_fraction <= 1
    assert made.violation_minutes == 1
    assert made.minutes[-1].late <= made.minutes[-1].finished


def test_who_sat_on_the_last_replica_is_late_even_if_nobody_is_served_any_more() -> None:
    world = Scenario(
        plant=plant_spec(
            initialReplicas=1, abandonAfter="10m", faults=[{"kind": "preempt", "at": 121}]
        ),
        policy=policy(maxReplicas=1),
        demand=constant(0.5 * RPS_OF_REPLICA, 360),
    )
    made = world.outcome("static")
    queue = made.minutes[-1].queue
    lost = sum(m.late for m in made.minutes) - queue
    assert lost > 1
    assert sum(m.late for m in made.minutes) <= made.requests


def test_the_first_change_of_the_size_counts() -> None:
    world = Scenario(
        plant=plant_spec(initialReplicas=5), policy=policy(), demand=constant(RPS_OF_REPLICA, 600)
    )
    made = world.outcome("static")
    changes = {c["t_s"] for c in made.calls if c["api"] == "autoscaling/v2"}
    assert (made.actions, len(changes)) == (1, 1)


def test_a_report_has_what_the_contract_asks_for_and_always_the_same_bytes() -> None:
    world = Scenario(
        plant=plant_spec(noiseCv=0.1),
        policy=policy(),
        demand=constant(5 * RPS_OF_REPLICA, 1800),
        first_t_s=MONDAY_S + 100,
    )
    made = world.outcome("react").document(world.first_t_s)
    assert encoded(made) == encoded(world.outcome("react").document(world.first_t_s))
    read = orjson.loads(encoded(made))
    assert set(read) == {
        "controller", "requests", "violation_fraction", "violation_minutes", "node_hours", "cost",
        "actions", "flaps", "coverage", "decisions", "calls", "minutes",
    }  # fmt: skip
    assert [m["t_s"] for m in read["minutes"]] == [MONDAY_S + 100 + 60 * n for n in range(30)]
    assert set(read["minutes"][0]) >= {
        "t_s", "demand", "capacity_ready", "nodes", "queue", "violations", "cost",
    }  # fmt: skip
    assert set(read["decisions"][0]) >= {"t_s", "reason", "inputs"}
    assert read["minutes"][5]["demand"] == pytest.approx(5 * RPS_OF_REPLICA, rel=0.1)
    assert sum(m["cost"] for m in read["minutes"]) == pytest.approx(read["cost"], rel=1e-5)
