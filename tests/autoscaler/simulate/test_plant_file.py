"""The plant file: its samples, its short forms, its schema, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoscaler.commands.files import demand_of, plant_of, policy_of
from autoscaler.simulate.plant_file import PoolSpec, Shape, Spread, load_plant, matched
from autoscaler.simulate.plant_schema import plant_schema
from autoscaler.simulate.scenario import Scenario
from loadstar.config.errors import ConfigError
from tests.autoscaler.simulate.builders import constant, policy

HERE = Path(__file__).parents[3] / "manifests" / "config" / "autoscaler"


def test_the_published_schema_is_that_of_the_classes() -> None:
    """python -m autoscaler.simulate.plant_schema writes it anew."""
    assert json.loads((HERE / "plant.schema.json").read_text()) == plant_schema()


@pytest.mark.parametrize(
    ("plant", "said_in"),
    [
        ("plant-simple.yaml", "policy.yaml"),
        ("plant-troubled.yaml", "policy.yaml"),
        ("plant-mixed.yaml", "mixed-pools.yaml"),
    ],
)
def test_the_samples_run(plant: str, said_in: str) -> None:
    demand, _ = demand_of(HERE / "demand-day.csv", 1)
    said = policy_of(HERE / said_in, active=True)
    scenario = Scenario(
        plant=plant_of(HERE / plant, said),
        policy=said,
        demand=demand.between(0, 3 * 3600),
    )
    made = scenario.outcome("hpa-rate")
    assert made.requests == pytest.approx(float(scenario.demand.rate_rps.sum()) * 5, rel=0.01)
    assert made.node_hours > 0


def test_times_may_be_a_text_a_number_or_a_distribution() -> None:
    spec = load_plant(
        {
            "pools": {
                "a": {
                    "nodeLeadTime": "4m",
                    "podLeadTime": 150,
                    "warmPodLeadTime": {"median": "60s", "spread": "10%", "shape": "lognormal"},
                },
                "b": None,
            }
        }
    )
    assert [pool.name for pool in spec.pools] == ["a", "b"]
    assert spec.pools[0].node_lead_time == Spread(median_s=240)
    assert spec.pools[0].pod_lead_time == Spread(median_s=150)
    assert spec.pools[0].warm_pod_lead_time == Spread(
        median_s=60, spread=0.1, shape=Shape.LOGNORMAL
    )


def test_pools_that_a_plant_does_not_name_are_as_the_policy_has_them() -> None:
    said = policy({"name": "a", "pricePerUnitHour": 3}, {"name": "b"})
    assert matched(load_plant({}), said).pools == (PoolSpec(name="a"), PoolSpec(name="b"))


def test_a_plant_without_pools_has_those_of_the_policy() -> None:
    said = policy({"name": "a", "pricePerUnitHour": 3})
    made = Scenario(plant=load_plant({}), policy=said, demand=constant(20, 600)).outcome("static")
    assert made.cost == pytest.approx(3 * made.node_hours)
    assert made.node_hours > 0


def test_a_pool_that_the_policy_does_not_know_is_a_mistake() -> None:
    document = {"pools": ["a1"], "faults": [{"kind": "preempt", "at": 5, "pool": "b"}]}
    with pytest.raises(ConfigError) as error:
        matched(load_plant(document), policy({"name": "a"}))
    assert str(error.value).splitlines() == [
        'pools[0].name: the policy has no pool "a1", did you mean a?',
        'faults[0].pool: the policy has no pool "b"',
    ]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (
            {"faults": [{"kind": "stockout", "at": 0, "duration": 60, "zone": "us-b"}]},
            'faults[0].zone: "us-b" is no zone that any pool is in, did you mean us-a?',
        ),
        (
            {"pools": {"a": {"zones": ["us-c"]}},
             "faults": [{"kind": "undo", "at": 0, "pool": "a", "zone": "us-a"}]},
            'faults[0].zone: "us-a" is no zone that the pool "a" is in, did you mean us-c?',
        ),
        (
            {"pools": {"a": {"initialUnits": 5}}},
            "pools[0].initialUnits: 5 is more than the pool's quota, 4",
        ),
    ],
)  # fmt: skip
def test_what_the_policy_and_the_plant_cannot_both_mean_is_a_mistake(
    document: object, problem: str
) -> None:
    with pytest.raises(ConfigError) as error:
        matched(load_plant(document), policy({"name": "a", "zones": ["us-a"], "quota": 4}))
    assert str(error.value) == problem


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"pools": ["a", "a"]}, 'pools[1].name: "a" is there twice'),
        ({"pools": ["a"], "drane": 60}, "drane: unknown key, did you mean drain?"),
        (
            {"pools": ["a"], "faults": [{"kind": "stockout", "at": "1h"}]},
            "faults[0]: stockout needs a duration",
        ),
        (
            {"pools": ["a"], "faults": [{"kind": "undo", "at": "1h"}]},
            "faults[0]: undo needs a pool",
        ),
        (
            {"pools": [{"name": "a", "nodeLeadTime": "soon"}]},
            "pools[0].nodeLeadTime.median: 'soon' is not a duration like 250ms or 1m30s",
        ),
        ({"pools": {"a": 3}}, "pools.a: must be a mapping, not 3"),
        (
            {"pools": [{"name": "a", "zones": ["x", "x"]}]},
            "pools[0]: zones names one twice; keep one",
        ),
        (
            {"replica": {"throughputRps": 9, "inputTokens": 0, "outputTokens": 0}},
            "replica: throughputRps needs requests with tokens; write outputTokens",
        ),
        ({"metricsDelay": "6m"}, 'metricsDelay: must be between 0 and 300, not "6m"'),
        (
            {"faults": [{"kind": "capacity", "at": 0}]},
            "faults[0]: capacity needs factor",
        ),
        (
            {"faults": [{"kind": "metricsGap", "at": 0, "duration": 60, "pool": "a"}]},
            "faults[0]: metricsGap reads no more than its times: remove pool",
        ),
        (
            {"faults": [{"kind": "quota", "at": 0, "pool": "a", "zone": "x", "units": 2}]},
            "faults[0]: quota reads pool, units: remove zone",
        ),
        (
            {"faults": [{"kind": "preempt", "at": 0, "units": 0, "share": 0.5}]},
            "faults[0]: units and share say the same thing twice: remove one",
        ),
        (
            {"faults": [{"kind": "slow", "at": 0, "factor": 2, "every": "1h"}]},
            "faults[0]: slow without a duration lasts: remove every",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(document: object, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_plant(document)
    assert str(error.value) == problem
