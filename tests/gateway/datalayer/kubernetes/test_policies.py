"""Objectives and rewrites: whose they are, and which goes first."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.datalayer.kubernetes.policies import (
    PoolName,
    objective,
    precedence,
    priorities,
    rewrite,
)
from gateway.request.model_rules import ModelRewrite, Rule, Target
from loadstar.kube.resources import POOL_GROUP

POOL = PoolName("llama", POOL_GROUP)


def document(name: str, created: str = "2026-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "lab", "creationTimestamp": created},
        "spec": {"poolRef": {"name": "llama", "group": POOL_GROUP}, **spec},
    }


def ruled(name: str, created: str) -> dict[str, Any]:
    rules = [{"targets": [{"modelRewrite": name}]}]
    return document(name, created, rules=rules)


def test_priorities_by_name_unset_being_zero() -> None:
    found = [
        objective(document("urgent", priority=10)),
        objective(document("plain")),
        objective(document("batch", priority=-5)),
        objective(document("other", priority=9, poolRef={"name": "mistral"})),
    ]
    assert priorities(found, POOL) == {"urgent": 10, "plain": 0, "batch": -5}


@pytest.mark.parametrize(
    ("ref", "meant"),
    [
        ({"name": "llama", "group": POOL_GROUP}, True),
        ({"name": "llama"}, True),
        ({"name": "llama", "group": "llm-d.ai"}, True),
        ({"name": "llama", "group": "inference.networking.x-k8s.io"}, False),
        ({"name": "mistral", "group": POOL_GROUP}, False),
    ],
)
def test_which_pool_an_object_means(ref: dict[str, str], meant: bool) -> None:
    found = priorities([objective(document("o", poolRef=ref))], POOL)
    assert bool(found) is meant


V1_SPECS = [
    ({"poolRefs": [{"name": "mistral"}, {"name": "llama", "group": POOL_GROUP}]}, True),
    ({"poolRefs": [{"name": "llama", "kind": "InferencePool"}]}, True),
    ({"poolRefs": [{"name": "mistral"}]}, False),
    ({"poolSelector": {"matchLabels": {"tier": "gold"}}}, True),
    (
        {
            "poolSelector": {
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold", "tin"]}]
            }
        },
        True,
    ),
    ({"poolSelector": {"matchLabels": {"tier": "tin"}}}, False),
    ({"poolRefs": [{"name": "mistral"}], "poolSelector": {"matchLabels": {"tier": "gold"}}}, True),
    ({"poolSelector": {}}, False),
    ({}, False),
]


@pytest.mark.parametrize(("spec", "meant"), V1_SPECS)
def test_the_pools_of_v1_are_a_list_or_a_selector_of_labels(
    spec: dict[str, Any], meant: bool
) -> None:
    gold = PoolName("llama", POOL_GROUP, {"tier": "gold"})
    told = objective({"metadata": {"name": "o"}, "spec": {"priority": 3, **spec}})
    assert priorities([told], gold) == ({"o": 3} if meant else {})


def test_a_selector_of_labels_means_no_pool_that_has_none() -> None:
    spec = {"poolSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}
    told = objective({"metadata": {"name": "o"}, "spec": spec})
    assert priorities([told], POOL) == {}


def test_of_an_object_in_two_versions_the_first_that_means_the_pool_counts() -> None:
    without_pools = objective({"metadata": {"name": "o"}, "spec": {"priority": 1}})
    older = objective(document("o", priority=2))
    assert priorities([without_pools, older], POOL) == {"o": 2}
    assert priorities([objective(document("o", priority=3)), older], POOL) == {"o": 3}


def test_pools_without_a_name_take_all_of_their_namespace() -> None:
    assert priorities([objective(document("o"))], PoolName("", POOL_GROUP)) == {"o": 0}


def test_the_oldest_rewrite_goes_first_then_by_name() -> None:
    found = [
        rewrite(ruled("young", "2026-03-01T00:00:00Z")),
        rewrite(ruled("b", "2026-01-01T00:00:00Z")),
        rewrite(ruled("a", "2026-01-01T00:00:00Z")),
    ]
    assert [r.name for r in precedence(found, POOL)] == ["a", "b", "young"]


def test_what_is_being_deleted_counts_no_more_whoever_holds_it_back() -> None:
    going = document("o", priority=3, rules=[{"targets": [{"modelRewrite": "v1"}]}])
    assert priorities([objective(going)], POOL) == {"o": 3}
    assert len(precedence([rewrite(going)], POOL)) == 1
    going["metadata"]["deletionTimestamp"] = "2026-02-01T00:00:00Z"
    assert priorities([objective(going)], POOL) == {}
    assert precedence([rewrite(going)], POOL) == ()


def test_rules_as_they_are_written() -> None:
    rules = [
        {
            "matches": [
                {"model": {"value": "llama"}},
                {"model": {"type": "Exact", "value": "l"}},
            ],
            "targets": [{"modelRewrite": "v1", "weight": 95}, {"modelRewrite": "v2", "weight": 5}],
        },
        {"targets": [{"modelRewrite": "v3"}]},
    ]
    assert precedence([rewrite(document("canary", rules=rules))], POOL) == (
        ModelRewrite(
            "canary",
            (
                Rule(("llama", "l"), (Target(95, "v1"), Target(5, "v2"))),
                Rule((), (Target(0, "v3"),)),
            ),
        ),
    )


@pytest.mark.parametrize(
    "spec",
    [
        {"poolRef": None},
        {"poolRef": {}},
        {"rules": ["x"]},
        {"rules": [{"matches": [{}], "targets": []}]},
        {"rules": [{"matches": [{"model": {"type": "Prefix", "value": "a"}}]}]},
        {"rules": [{"targets": [{"weight": 1}]}]},
        {"rules": [{"targets": [{"modelRewrite": "a", "weight": "1"}]}]},
    ],
)
def test_what_cannot_be_understood_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        rewrite(document("r", **spec))


def test_a_priority_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="priority"):
        objective(document("o", priority="high"))
