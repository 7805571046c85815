"""The policy document: what is taken, what is refused, and with which words."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.actuate.providers import catalog
from autoscaler.actuate.workload.documents import SCALABLE
from autoscaler.policy.model import WORKLOADS, Mode, Policy, ServiceClass, load_policy
from autoscaler.policy.pools import PROVIDERS, PoolMode
from loadstar.config.errors import ConfigError

SMALLEST = """
models: [{name: chat}]
pools: [{name: a100}]
"""


def refusals(text: str, place: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_policy(text, place)
    return [str(problem) for problem in caught.value.problems]


def test_the_smallest_policy_only_advises() -> None:
    """Nothing is resized until somebody has read what would be."""
    policy = load_policy(SMALLEST)
    (model,), (pool,) = policy.models, policy.pools
    assert policy.mode is Mode.ADVISORY
    assert pool.mode is PoolMode.OBSERVE
    assert (model.min_replicas, model.max_replicas) == (1, 64)
    assert model.slo_ttft_p95_s == 2.0
    assert model.scale_down.window_s == 900.0


def test_units_become_numbers_at_the_edge() -> None:
    policy = load_policy(
        """
        apiVersion: loadstar.dev/v1alpha1
        kind: AutoscalerPolicy
        budgetPerHour: 120
        period: 30s
        models:
          - name: chat
            sloTtftP95: 500ms
            class: batch
            missRate: 10%
            scaleDown: {window: 20m, perMinute: 10%}
        pools:
          - {name: v5e, kind: tpu, replicasPerUnit: 4, nodesPerUnit: 4, leadTime: {node: 10m}}
        """
    )
    model, pool = policy.models[0], policy.pools[0]
    assert policy.period_s == 30.0
    assert model.slo_ttft_p95_s == 0.5
    assert model.service_class is ServiceClass.BATCH
    assert model.miss_rate == pytest.approx(0.1)
    assert (model.scale_down.window_s, model.scale_down.per_minute) == (1200.0, 0.1)
    assert pool.lead_time.total_s() == 600.0 + 150.0


def test_a_model_without_variants_runs_on_every_pool() -> None:
    policy = load_policy("{models: [{name: m}], pools: [{name: a}, {name: b}]}")
    assert [pool.name for _, pool in policy.variants(policy.models[0])] == ["a", "b"]


def test_all_problems_are_told_at_once_and_where() -> None:
    assert refusals(
        """
        models:
          - {name: chat, minReplicas: 0}
          - {name: chat, variants: [{pool: a10}, {pool: a100}]}
        pools: [{name: a100, minUnit: 3}]
        """,
        "autoscaler.yaml",
    ) == [
        "autoscaler.yaml.models[0]: minReplicas 0 needs scaleToZero: {enabled: true}",
        "autoscaler.yaml.pools[0].minUnit: unknown key, did you mean minUnits?",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "{models: [{name: m}, {name: m}], pools: [{name: p}]}",
            'models[1].name: "m" is there twice',
            id="two models of a name",
        ),
        pytest.param(
            "{models: [{name: m, variants: [{pool: a10}]}], pools: [{name: a100}]}",
            'models[0].variants[0].pool: no pool "a10", did you mean a100?',
            id="a pool that is not there",
        ),
        pytest.param(
            "{models: [{name: m, minReplicas: 9}], pools: [{name: p, maxUnits: 4}]}",
            "models[0].minReplicas: 9 is more than the 4 that its pools can hold",
            id="a floor that cannot be held",
        ),
        pytest.param(
            "{models: [{name: m}], pools: [{name: p, minUnits: 4, pricePerUnitHour: 3}], "
            "budgetPerHour: 10}",
            "budgetPerHour: 10 is less than the pools' minUnits cost, 12",
            id="a budget below the floor",
        ),
        pytest.param(
            "{models: [{name: m, minReplicas: 3}], pools: [{name: p, minUnits: 2, maxUnits: 2, "
            "pricePerUnitHour: 4}, {name: q, pricePerUnitHour: 2}], budgetPerHour: 9}",
            "budgetPerHour: 9 is less than the pools' minUnits and the models' minReplicas "
            "beyond them cost, 10",
            id="a budget that pays either floor and not both",
        ),
        pytest.param(
            "{models: [{name: m}], pools: [{name: p, spot: true, reservation: r}]}",
            "pools[0]: spot capacity cannot come from a reservation; remove one of the two",
            id="spot from a reservation",
        ),
        pytest.param(
            "{models: [{name: m, sloTtftP95: 2}], pools: [{name: p}]}",
            "models[0].sloTtftP95: must be text with a unit, not 2",
            id="a duration without its unit",
        ),
        pytest.param(
            "{models: [{name: m}], pools: [{name: p, minUnits: 3, quota: 2}]}",
            "pools[0]: minUnits 3 is more than quota 2",
            id="a floor above the quota",
        ),
        pytest.param(
            "{models: [{name: m}], pools: [{name: p, mode: computeClass, computeClass: l4}, "
            "{name: l4, mode: computeClass}]}",
            'pools[1].computeClass: "l4" is the class of pool "p" too; give each its own',
            id="a class of two pools",
        ),
        pytest.param(
            "{models: [{name: m}], pools: [{name: p, zones: [a, b, a]}]}",
            "pools[0]: zones names one twice; keep one",
            id="a zone twice",
        ),
        pytest.param(
            "{models: [{name: m, variants: [{pool: p, minReplicas: 3, maxReplicas: 2}]}], "
            "pools: [{name: p}]}",
            "models[0].variants[0]: minReplicas 3 is more than maxReplicas 2",
            id="a variant between bounds that cross",
        ),
        pytest.param(
            "{models: [{name: m, minReplicas: 4, variants: [{pool: p, maxReplicas: 2}]}], "
            "pools: [{name: p}]}",
            "models[0].minReplicas: 4 is more than the 2 that its pools can hold",
            id="a floor above what variants may have",
        ),
        pytest.param(
            "{models: [{name: m, maxReplicas: 4, variants: [{pool: p, minReplicas: 5}]}], "
            "pools: [{name: p}]}",
            "models[0].maxReplicas: 4 is less than the variants' minReplicas together, 5",
            id="variants' floors above the model's bound",
        ),
        pytest.param(
            "{models: [{name: m, variants: [{pool: p, minReplicas: 5}]}], "
            "pools: [{name: p, maxUnits: 3}]}",
            'models[0].variants[0].minReplicas: 5 is more than the 3 that pool "p" can hold',
            id="a variant's floor above its pool",
        ),
        pytest.param(
            "{models: [{name: m, minReplicas: 3, maxReplicas: 3}], "
            "pools: [{name: p, replicasPerUnit: 2}]}",
            "models[0].maxReplicas: whole units of its pools make 2 replicas and then more than 3: "
            "none from minReplicas 3 on; raise it",
            id="bounds between which no number of slices lies",
        ),
        pytest.param(
            "{models: [{name: m, minReplicas: 5}], pools: [{name: p, replicasPerUnit: 4, "
            "pricePerUnitHour: 3}], budgetPerHour: 5}",
            "budgetPerHour: 5 is less than the models' minReplicas cost, 6",
            id="a budget that does not pay the floor in whole units",
        ),
        pytest.param(
            "{models: [{name: m, maxReplicas: 4, schedules: [{name: s, start: '08:00', "
            "end: '09:00', minReplicas: 5}]}], pools: [{name: p}]}",
            "models[0].schedules[0].minReplicas: 5 is more than maxReplicas 4",
            id="an event's floor above the bound",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_mend(text: str, words: str) -> None:
    assert words in refusals(text)[0]


@pytest.mark.parametrize("written", ["off", '"off"', "false"])
def test_off_needs_no_quotation_marks(written: str) -> None:
    """YAML reads the bare word as a truth value; whoever writes it wants the same as with them."""
    assert load_policy(f"mode: {written}\n{SMALLEST}").mode is Mode.OFF


@given(
    pools=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=3),
    low=st.integers(1, 12),
    more=st.integers(0, 5),
)
def test_bounds_are_taken_exactly_if_whole_units_can_keep_them(
    pools: list[tuple[int, int]], low: int, more: int
) -> None:
    counts = itertools.product(*(range(units + 1) for _, units in pools))
    sizes = {sum(n * each for n, (each, _) in zip(ns, pools, strict=True)) for ns in counts}
    document = {
        "models": [{"name": "m", "minReplicas": low, "maxReplicas": low + more}],
        "pools": [
            {"name": str(i), "replicasPerUnit": each, "maxUnits": units}
            for i, (each, units) in enumerate(pools)
        ],
    }
    if any(low <= size <= low + more for size in sizes):
        load_policy(document)
    else:
        with pytest.raises(ConfigError):
            load_policy(document)


def test_a_header_of_another_kind_is_refused() -> None:
    assert refusals("{kind: Deployment, models: [{name: m}], pools: [{name: p}]}") == [
        "kind: must be AutoscalerPolicy"
    ]


def test_a_missing_model_is_a_key_error() -> None:
    policy: Policy = load_policy(SMALLEST)
    with pytest.raises(KeyError):
        policy.model("code")


@pytest.mark.parametrize(
    ("model", "pool", "says"),
    [
        (
            "maxReplicas: 1000000000000",
            "",
            "models[0].maxReplicas: must be between 1 and 100000, not 1000000000000",
        ),
        ("", "leadTime: {node: 1000000h}", "pools[0].leadTime.node: must be between 0 and 86400"),
        ("", "provider: gk", "pools[0]: no provider gk, did you mean gke?; there are gke, local"),
        (
            "variants: [{pool: p, target: {kind: deployment, name: w}}]",
            "",
            "models[0].variants[0].target: kind deployment cannot be scaled, did you mean Dep",
        ),
    ],
)
def test_what_would_end_whoever_acts_on_it_is_refused(model: str, pool: str, says: str) -> None:
    """Memory for each size, or a task that cannot be begun: the last good policy must stay."""
    text = f"models: [{{name: m, {model}}}]\npools: [{{name: p, {pool}}}]\n"
    (refusal,) = refusals(text)
    assert refusal.startswith(says)


def test_a_policy_knows_the_workloads_and_providers_that_something_acts_on() -> None:
    assert set(WORKLOADS) == set(SCALABLE)
    assert set(PROVIDERS) == set(catalog.PROVIDERS)
