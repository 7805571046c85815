"""Several models at one site: each as if alone where there is enough, else in their order."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.__main__ import main
from autoscaler.policy.model import Policy, load_policy
from autoscaler.simulate.demand import DemandSeries, of_rates
from autoscaler.simulate.plant_file import load_plant
from autoscaler.simulate.record import encoded, outcome
from autoscaler.simulate.scenario import Scenario
from autoscaler.simulate.together import Apart, Run, run_together
from autoscaler.simulate.units import Tally
from tests.autoscaler.simulate.builders import constant, passed, plant, plant_spec
from tests.autoscaler.simulate.test_answer_schema import SCHEMA, faults_of

STEPS = 3 * 720  # three hours


def policy(*models: Mapping[str, Any], **pool: Any) -> Policy:
    return load_policy(
        {
            "mode": "active",
            "models": list(models) or [{"name": "chat"}, {"name": "night", "class": "batch"}],
            "pools": [{"name": "a", "mode": "setSize", "pricePerUnitHour": 2, **pool}],
        }
    )


def rising(low: float, high: float) -> DemandSeries:
    """An hour low, an hour up, an hour high."""
    third = STEPS // 3
    return of_rates(
        np.concatenate((np.full(third, low), np.linspace(low, high, third), np.full(third, high)))
    )


def two(said: Policy, controller: str = "predictive", **plant: Any) -> Run:
    demands = {"chat": rising(20, 60), "night": rising(30, 30)}
    return run_together(load_plant(plant), said, demands, controller=controller)


def late(run: Run, model: str) -> float:
    return outcome("x", run.models[model], []).violation_fraction


@pytest.mark.parametrize("controller", ["predictive", "hpa-rate", "static"])
def test_one_model_together_is_as_it_is_alone(controller: str) -> None:
    spec, said, demand = load_plant({"noiseCv": 0.1}), policy({"name": "m"}), rising(20, 60)
    alone, world = Scenario(plant=spec, policy=said, demand=demand).recorded(controller)
    run = run_together(spec, said, {"m": demand}, controller=controller)

    expected = outcome(controller, alone, world.calls).document()
    found = run.document()
    for decision in found["decisions"]:
        assert decision.pop("model") == "m"
    assert found.pop("models")["m"]["decisions"] == expected["decisions"]
    assert found == expected


def test_the_whole_is_what_its_models_come_to() -> None:
    found = two(policy(quota=40)).document()
    parts = found["models"].values()
    for key in ("requests", "actions", "flaps"):
        assert found[key] == pytest.approx(sum(part[key] for part in parts))
    for key in ("node_hours", "cost"):
        assert found[key] == pytest.approx(sum(part[key] for part in parts), abs=1e-5)
    for key in found["minutes"][0].keys() - {"t_s"}:
        minutes = zip(*(part["minutes"] for part in parts), strict=True)
        sums = [sum(minute[key] for minute in each) for each in minutes]
        assert [m[key] for m in found["minutes"]] == pytest.approx(sums, abs=1e-4)
    assert all(m["nodes"] >= m["replicas_ready"] for m in found["minutes"][1:])
    times = [decision["t_s"] for decision in found["decisions"]]
    assert times == sorted(times)
    assert {decision["model"] for decision in found["decisions"]} == {"chat", "night"}


def test_a_unit_is_paid_by_the_model_that_stands_on_it() -> None:
    """The chat doubles its units while the night keeps its own; neither pays for the other's."""
    found = two(policy(quota=40, nodesPerUnit=2)).document()["models"]
    chat, night = found["chat"]["minutes"], found["night"]["minutes"]
    assert chat[-1]["nodes"] > 1.8 * chat[30]["nodes"]
    assert night[-1]["nodes"] == pytest.approx(night[30]["nodes"], rel=0.3)
    for minute in (*chat[-20:], *night[-20:]):
        assert minute["nodes"] == pytest.approx(2 * minute["replicas_ready"], abs=2.01)
        assert minute["cost"] == pytest.approx(minute["nodes"] / 2 * 2 / 60, abs=1e-5)


def test_units_that_nobody_stands_on_are_paid_in_proportion_to_those_that_are_used() -> None:
    first = two(policy(), pools=[{"name": "a", "initialUnits": 12}]).document()
    whole, parts = first["minutes"][0], [m["minutes"][0] for m in first["models"].values()]
    on = [minute["replicas_ready"] for minute in parts]
    shares = [12 * count / sum(on) for count in on]
    assert whole["nodes"] == 12.0
    assert [minute["nodes"] for minute in parts] == pytest.approx(shares, abs=1e-5)


@pytest.mark.parametrize("controller", ["predictive", "hpa-rate"])
def test_what_is_written_is_as_the_schema_says(controller: str) -> None:
    written = orjson.loads(encoded(two(policy(quota=11), controller).document()))
    assert list(faults_of(written, orjson.loads(SCHEMA.read_bytes()))) == []


def test_where_units_are_scarce_the_batch_waits_for_the_interactive() -> None:
    """Together they need 15 units at the end; there are 11, and the chat has what it needs."""
    run = two(policy(quota=11))
    assert late(run, "chat") < 0.01
    assert late(run, "night") > 0.2
    nodes = [minute["nodes"] for minute in run.document()["minutes"]]
    assert max(nodes) <= 11
    plenty = two(policy(quota=40))
    assert late(plenty, "night") < 0.01


def test_a_budget_is_shared_as_well() -> None:
    """What is asked for never costs more; what drains may, for as long as that takes."""
    bounded = load_policy(
        {
            "mode": "active",
            "budgetPerHour": 22,
            "models": [{"name": "chat"}, {"name": "night", "class": "batch"}],
            "pools": [{"name": "a", "mode": "setSize", "pricePerUnitHour": 2}],
        }
    )
    wanted: dict[str, int] = {}
    asked = []
    for _, both in groupby(two(bounded).document()["decisions"], key=lambda each: each["t_s"]):
        wanted |= {each["model"]: each["replicas"]["a"] for each in both}
        asked.append(sum(wanted.values()))
    assert max(asked) == 11
    assert late(two(bounded), "chat") < 0.01
    plenty = two(policy()).document()["minutes"]
    assert max(minute["nodes"] for minute in plenty) > 11


def test_rivals_know_nothing_of_each_other_and_meet_at_the_provider() -> None:
    run = two(policy(quota=11), "hpa-rate")
    assert max(minute["nodes"] for minute in run.document()["minutes"]) <= 11
    assert late(run, "chat") > 0.05


def test_calls_are_of_the_whole_pool_one_at_a_time() -> None:
    """A size that is set is that of all models' units; workloads have their own."""
    calls = two(policy(quota=40)).document()["calls"]
    sizes = [c for c in calls if c["method"].endswith(":setSize")]
    assert max(c["body"]["nodeCount"] for c in sizes) > 10
    assert all(b["t_s"] - a["t_s"] >= 30 for a, b in pairwise(sizes))
    patched = {c["method"] for c in calls} - {c["method"] for c in sizes}
    assert {name.rpartition("/")[2].partition("-a")[0] for name in patched} == {"chat", "night"}


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6),
    per_unit=st.sampled_from([1, 4]),
    seed=st.integers(0, 5),
    kind=st.sampled_from(["preempt", "nodeLoss", "undo", "stockout"]),
)
def test_models_never_share_a_unit_and_no_pod_is_lost(
    sizes: list[tuple[int, int]], per_unit: int, seed: int, kind: str
) -> None:
    more = {"duration": 300} if kind == "stockout" else {"units": 1}
    if kind == "undo":
        more = {}
    fault = {"kind": kind, "at": 700, "pool": "a", **more}
    spec = plant_spec({"replicasPerUnit": per_unit}, faults=[fault])
    world = plant(spec, constant(20, 4000), seed=seed)
    provider = world.providers["a"]
    mine, other = world.tallies["a"], Tally()
    for index, (first, second) in enumerate(sizes):
        for tally, size in ((mine, first), (other, second)):
            provider.fleet.want(tally, size, world.now_s)
        passed(world, 300.0 * (index + 1))
        units = provider.fleet.units
        assert all(len({id(pod.of) for pod in unit.pods}) <= 1 for unit in units)
        for tally, size in ((mine, first), (other, second)):
            states = [p.state.name for u in units for p in u.pods if p.of is tally]
            assert (tally.ready, tally.draining) == (
                states.count("READY"),
                states.count("DRAINING"),
            )
            assert tally.ready + tally.starting == size


def test_what_the_models_cannot_have_together_is_refused() -> None:
    said = policy()
    demands = {"chat": rising(1, 2), "night": constant(1, 600)}
    with pytest.raises(Apart, match="as long as each other: chat 10800 s, night 600 s"):
        run_together(load_plant({}), said, demands)
    with pytest.raises(Apart, match=r"replica\.throughputRps is of one model"):
        two(said, replica={"throughputRps": 8})


def test_stated_units_go_to_who_wants_them_and_the_rest_is_empty() -> None:
    """The interactive model first; nobody gets more than its first minutes need."""
    minute = two(policy(), pools=[{"name": "a", "initialUnits": 12}]).document()["minutes"][0]
    assert (minute["nodes"], minute["replicas_ready"]) == (12.0, 10)


POLICY = """\
models: [{name: chat, maxReplicas: 20}, {name: night, class: batch, maxReplicas: 20}]
pools: [{name: a}]
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "plant.yaml").write_text("{}")
    for name, first in (("d", 600), ("late", 900)):
        rows = [f"{first + 60 * n},{20 + n},1100,200" for n in range(40)]
        text = "\n".join(["t_s,rate_rps,input_tokens,output_tokens", *rows])
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def simulate(files: Path, *more: str) -> int:
    words = [f"--policy={files}/p.yaml", f"--plant={files}/plant.yaml", f"--json={files}/out.json"]
    return main(["simulate", *words, *more])


def test_the_command_takes_a_demand_for_each_model(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [f"--demand=chat={files}/d.csv", f"--demand=night={files}/d.csv"]
    assert simulate(files, *line, f"--history=night={files}/d.csv") == 0
    said = capsys.readouterr().out
    assert said.startswith("predictive: ")
    assert "\n  chat: " in said
    assert "\n  night: " in said
    first = (files / "out.json").read_bytes()
    assert simulate(files, *line, f"--history=night={files}/d.csv") == 0
    assert (files / "out.json").read_bytes() == first
    assert orjson.loads(first)["minutes"][0]["t_s"] == 600.0


def test_one_named_demand_is_that_model_alone(files: Path) -> None:
    assert simulate(files, f"--demand=night={files}/d.csv") == 0
    named = (files / "out.json").read_bytes()
    assert simulate(files, f"--demand={files}/d.csv", "--model=night") == 0
    assert (files / "out.json").read_bytes() == named


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["chat=d.csv", "d.csv"], "each must say its model"),
        (["chat=d.csv", "chat=d.csv"], "chat is there twice"),
        (["chta=d.csv", "night=d.csv"], "no model 'chta', did you mean chat?"),
        (["chat=d.csv", "night=late.csv"], "same t_s: chat 600, night 900"),
        (["chat=d.csv", "night=d.csv", "--model=chat"], "each says its own"),
        (["chat=d.csv", "night=d.csv", "--history=d.csv"], "which model's?"),
        (["chat=d.csv", "--model=night"], "--demand is chat's"),
    ],
)
def test_a_line_to_mend(
    files: Path,
    line: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    words = [word if word.startswith("--") else f"--demand={word}" for word in line]
    assert simulate(files, *words) == 2
    assert says in capsys.readouterr().err
