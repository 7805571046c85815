"""The harness of the scaling targets: its cases are what they say, its duel is at equal cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoscaler.simulate.record import Minute, Outcome
from autoscaler.simulate.synthetic import WEEKS
from load_tests.scaling.__main__ import main
from load_tests.scaling.cases import LEADS, Case, scenario
from load_tests.scaling.duel import _knob_at
from load_tests.scaling.runs import Figures, Job, Runs, recoveries
from load_tests.scaling.weeks import FULL, busiest_work


def figures(cost: float) -> Figures:
    return Figures(cost, 100, 1, 0, cost, 0, 0, None, 1)


@pytest.mark.parametrize("name", WEEKS)
def test_a_synthetic_week_repeats_itself_by_its_seed(name: str) -> None:
    a, b, other = (WEEKS[name](2, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (a == b).all()
    assert (a != other).any()
    assert len(a) == 2 * 17280
    assert (a > 0).all()


def test_a_case_needs_its_peak_of_replicas_and_has_its_lead() -> None:
    for lead, (node_s, pod_s) in LEADS.items():
        made = scenario(Case("diurnal-cold", lead_minutes=lead), None)
        assert busiest_work(made.demand) == pytest.approx(32 * FULL)
        pool = made.plant.pools[0]
        assert pool.node_lead_time is not None
        assert pool.pod_lead_time is not None
        assert (pool.node_lead_time.median_s, pool.pod_lead_time.median_s) == (node_s, pod_s)
        assert node_s + pod_s == pytest.approx(60 * lead)


def test_trouble_is_in_the_plant_and_what_an_operator_knows_in_the_policy() -> None:
    made = scenario(
        Case("diurnal-cold", capacity_factor=0.75, hazard_per_hour=0.5, stockouts=True), None
    )
    assert made.plant.replica.capacity_factor == 0.75
    assert [f.kind.value for f in made.plant.faults] == ["stockout", "stockout"]
    assert made.policy.pools[0].hazard_per_hour == 0.5
    sliced = scenario(Case("diurnal-cold", slices=True), None).policy.pools[0]
    assert (sliced.replicas_per_unit, sliced.price_per_unit_hour) == (4, 4.0)


def test_the_rival_is_looked_for_at_our_cost() -> None:
    tried = {0.5: figures(200), 0.7: figures(150), 1.0: figures(100)}
    assert _knob_at(tried, 125) == pytest.approx(0.85)
    assert _knob_at(tried, 400) == pytest.approx(0.25)
    assert _knob_at(tried, 50) == 1.0


def test_recovery_counts_from_the_rise_to_the_last_bad_minute() -> None:
    arrived = [100.0] * 20 + [180.0] * 100
    bad = [0.0] * 20 + [1.0] * 9 + [0.0] * 91
    minutes = [Minute(arrived=a, finished=a) for a in arrived]
    made = Outcome(
        controller="x", requests=1, violation_fraction=0, violation_minutes=9, node_hours=0,
        cost=0, actions=0, flaps=0, coverage=None, minutes=minutes, decisions=[], calls=[],
        sizes=[], violating_by_minute=bad,
    )  # fmt: skip
    assert recoveries(made) == (540.0,)


@pytest.mark.slow
def test_what_was_run_is_kept(tmp_path: Path) -> None:
    job = Job(Case("diurnal-cold"), "hpa-rate", 0.7, (0, 1))
    [first] = Runs(None, tmp_path, 1).do([job])
    assert len(list(tmp_path.iterdir())) == 1
    again = Runs(None, tmp_path, 1)
    assert again.do([job]) == [first]
    assert first.violations < 0.05


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_target_is_judged_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--targets", "T9", "--weeks", "diurnal-cold", "--seeds", "1"]
    with pytest.raises(SystemExit):
        main(words)  # a day without a past is no week to be judged on
    words[3] = "small-fleet"
    assert main([*words, "--json", str(tmp_path / "r.json")]) == 0
    assert capsys.readouterr().out.startswith("T9 time")
