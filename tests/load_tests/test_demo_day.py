"""The second act's pure parts: its day, its terms, its rival, its sums, its picture."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.policy.model import load_policy
from load_tests.day import terms as told
from load_tests.day import view
from load_tests.day.ask import value
from load_tests.day.plots import sections
from load_tests.day.reactive import Reactive
from load_tests.day.record import Moment, Record, checks, kv_and_waiting, late
from load_tests.day.shape import DAY_S, Day, arrivals, curve, history, offered_rps, rates
from load_tests.day.terms import Terms
from load_tests.day.watch import forecast_rps
from load_tests.measure import Sample
from loadstar.clock import ScaledClock
from loadstar.signals.model import EndpointLoad
from metrics_adapter.adapter_config import parse_config

MIDNIGHT_S = 1_767_571_200.0
TERMS = Terms(saturation_rps=4.0, hpa_load=0.75)


class Machine:
    def __init__(self) -> None:
        self.at_s = 1000.0

    def now(self) -> float:
        return self.at_s

    def wall(self) -> float:
        return self.at_s + 5e8


def test_a_scaled_clock_shows_what_it_was_set_to_and_outruns_the_machine() -> None:
    machine = Machine()
    clock = ScaledClock.showing(machine, 360.0, MIDNIGHT_S)
    again = ScaledClock(machine, 360.0, clock.agreed_s)
    assert clock.wall() == pytest.approx(MIDNIGHT_S, abs=1e-3)
    before = clock.now()
    machine.at_s += 10.0
    assert clock.now() - before == pytest.approx(3600.0)
    assert clock.wall() == pytest.approx(MIDNIGHT_S + 3600.0, abs=1e-3)
    assert again.wall() == clock.wall()


def test_requests_follow_the_curve_in_compressed_time() -> None:
    day = Day()
    at = np.array([each.at_s for each in arrivals(day) if not each.warmup]) - day.run_in_s
    for hour in (3, 10, 15, 21):
        begins, ends = hour * 10.0, hour * 10.0 + 5.0
        expected = np.mean([offered_rps(day, s) for s in np.arange(begins, ends, 1.0 / 6.0)]) * 5.0
        assert np.sum((at >= begins) & (at < ends)) == pytest.approx(expected, abs=2.0)


def test_no_two_requests_begin_alike_and_the_same_seed_sends_the_same() -> None:
    one, again = arrivals(Day(to_h=2.0)), arrivals(Day(to_h=2.0))
    assert one == again
    assert len({each.messages for each in one}) == len(one)
    assert all(a.at_s <= b.at_s for a, b in pairwise(one))


@given(st.floats(0, 23), st.floats(0.5, 10), st.integers(0, 9))
def test_requests_lie_within_the_day_and_its_run_in(from_h: float, hours: float, seed: int) -> None:
    day = Day(from_h=from_h, to_h=min(24.0, from_h + hours), seed=seed)
    sent = arrivals(day)
    assert all(0.0 <= each.at_s <= day.run_in_s + day.seconds + 1.0 for each in sent)
    assert all(each.warmup == (each.at_s < day.run_in_s) for each in sent)


@pytest.mark.parametrize("from_h", [0.0, 6.0])
def test_history_ends_where_the_run_in_begins(from_h: float) -> None:
    day = Day(from_h=from_h)
    known = history(day, MIDNIGHT_S)
    ends_s = MIDNIGHT_S + from_h * 3600.0 - day.run_in_s * day.factor
    assert known.closed * 60.0 == ends_s
    assert known.first_minute * 60.0 == MIDNIGHT_S - day.days_before * DAY_S
    assert not np.isnan(known.rows).any()


def test_days_before_are_like_this_one_and_none_is_it() -> None:
    day = Day()
    shown = rates(day, 0)
    for number in range(1, day.days_before + 1):
        other = rates(day, number)
        assert np.corrcoef(shown, other)[0, 1] > 0.97
        assert not np.allclose(shown, other, rtol=0.01)
    assert curve(np.array([15.5 * 60.0]))[0] == 1.0


def test_the_policy_says_what_a_replica_was_measured_to_do() -> None:
    day = Day()
    terms = Terms(saturation_rps=told.measured_rps(day), hpa_load=0.65)
    policy = load_policy(told.policy(day, terms))
    (model,) = policy.models
    assert model.profile is not None
    assert model.profile.prefill_per_token_s * day.input_tokens == pytest.approx(
        1.0 / terms.saturation_rps, rel=1e-3
    )
    assert policy.pool(told.POOL).lead_time.total_s() == terms.node_s + terms.pod_s
    assert 3.0 < terms.saturation_rps < 7.0


def test_the_adapters_configuration_is_one() -> None:
    (source,) = parse_config(told.adapter(["127.0.0.1:9004"]).encode()).sources
    assert source.type == "feed"


def test_the_rival_answers_to_what_is_there_and_keeps_nodes_a_while() -> None:
    rival = Reactive(TERMS, replicas=2)
    assert rival.sync(0.0, 6.0) == (2, 2)  # exactly at its target of 3 each
    assert rival.sync(36.0, 12.0) == (4, 4)
    assert rival.sync(72.0, None) == (4, 4)  # what is not known changes nothing
    assert rival.sync(108.0, 3.0) == (4, 4)  # its own window of five minutes
    assert rival.sync(500.0, 3.0) == (1, 4)  # the cluster autoscaler's, of ten
    assert rival.sync(1200.0, 3.0) == (1, 1)


def test_the_rival_stays_within_its_bounds() -> None:
    rival = Reactive(TERMS, replicas=2)
    sizes = [rival.sync(tick * 36.0, 1000.0) for tick in range(20)]
    assert sizes[-1] == (TERMS.most, TERMS.most)
    assert max(sizes) == sizes[-1]


def sample(ttft_s: float | None, *, sent_at: float = 10.0, status: int = 200) -> Sample:
    first = None if ttft_s is None else sent_at + ttft_s
    return Sample(sent_at, sent_at, first, sent_at + 1.0, status)


def moment(at_s: float, ready: int, upper_rps: float = 5.0) -> Moment:
    return Moment(
        at_s=at_s,
        offered_rps=4.0,
        arrivals_rps=4.0,
        ready=ready,
        starting=0,
        wanted=ready,
        nodes=ready,
        nodes_wanted=ready,
        kv_used=0.2,
        waiting=1.0,
        upper_rps=upper_rps,
    )


def record(name: str = "one") -> Record:
    made = Record(name, factor=360.0, began_at=0.0)
    made.samples = [sample(0.1), sample(0.5), sample(0.1, status=503), sample(None)]
    made.moments = [moment(float(at), 1 + at % 3) for at in range(12)]
    made.node_seconds_before, made.node_seconds = 5.0, 25.0
    return made


def test_late_is_what_failed_or_missed_the_objective() -> None:
    assert [late(each) for each in record().samples] == [False, True, True, True]
    assert record().late_share() == 0.75
    assert math.isnan(record().late_share(since=11.0))


def test_node_hours_are_the_days_and_cost_is_theirs() -> None:
    assert record().node_hours == 2.0
    assert record().cost == pytest.approx(2.0 * told.PRICE_PER_NODE_HOUR)


def test_what_is_not_said_is_not_zero() -> None:
    kv_used, waiting = kv_and_waiting([EndpointLoad(namespace="lab", name="a")])
    assert math.isnan(kv_used)
    assert math.isnan(waiting)
    said = EndpointLoad(namespace="lab", name="b", kv_used=0.5, waiting=2.0)
    assert kv_and_waiting([EndpointLoad(namespace="lab", name="a"), said]) == (0.5, 2.0)


def test_checks_hold_when_everything_worked_and_name_what_did_not() -> None:
    good = record()
    good.samples = [sample(0.9)] * 40  # late, yet answered: no failure of the demo
    assert all(check.holds for check in checks(good, good, ["1"]))
    still = record()
    still.moments = [moment(float(at), 2, math.nan) for at in range(12)]
    failed = [check.what for check in checks(still, good, ["1", ""]) if not check.holds]
    assert failed == [
        "one: requests were answered",
        "one: replicas came and went",
        "the autoscaler forecast demand",
        "the metrics adapter answered",
    ]


def test_a_forecast_is_read_as_requests_a_second() -> None:
    page = (
        'loadstar_autoscaler_demand_requests_per_second{model="llama"} 8.0\n'
        'loadstar_autoscaler_decision_figure{model="llama",figure="minute_work"} 2.0\n'
        'loadstar_autoscaler_decision_figure{model="llama",figure="upper_work"} 3.0\n'
        'loadstar_autoscaler_decision_figure{model="llama",figure="expected_work"} 2.5\n'
    )
    assert forecast_rps(page) == (12.0, 10.0)
    assert all(math.isnan(each) for each in forecast_rps(""))


def test_an_answer_is_its_values() -> None:
    assert value(b'{"items": [{"value": "9917m"}, {"value": "2"}]}') == "9917m 2"
    assert value(b'{"kind": "Status"}') == ""
    assert value(b"no") == ""


def test_a_spark_has_a_cell_for_each_part_of_the_day() -> None:
    assert view.spark([(0.0, 0.0), (0.3, 0.5), (0.6, math.nan), (0.9, 2.0)], 1.0, 4) == " ▄ █"


def test_the_report_shows_each_plot_and_the_table() -> None:
    one, other = record("Forecast"), record("HPA")
    made = sections(Day(), TERMS, (one, other), checks(one, other, ["1"]))
    content = "".join(part for _, part in made)
    assert content.count("<svg") == 5
    assert "<td>Forecast</td><td>4</td><td>2</td><td>75.0%</td>" in content


def test_a_line_says_the_hour_the_demand_and_what_it_costs() -> None:
    said = view.line(record(), Day(), 12.0)
    assert said.startswith("one: 01:06, demand 4.0/s, forecast up to 5.0/s, replicas 3+0")
    assert said.endswith("2.0 node-hours, $1.40")
