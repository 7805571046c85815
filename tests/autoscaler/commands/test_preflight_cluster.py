"""Preflight asks the cluster for each right and object that the policy's modes take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.commands.preflight_cluster import in_cluster
from tests.autoscaler.commands.preflight_bench import (
    CLASS_L4,
    Cluster,
    policy,
    short,
)


async def test_rights_in_the_cluster_are_asked_for_one_by_one() -> None:
    served = {"/apis/autoscaling.x-k8s.io/v1beta1": ["capacitybuffers"]}
    cluster = Cluster({("patch", "horizontalpodautoscalers")}, served)
    found = await in_cluster(policy("buffer"), cluster)
    (missing,) = short(found)
    assert missing.subject == "right to patch horizontalpodautoscalers.autoscaling in llm"
    assert missing.mend == (
        "kubectl --namespace=llm create rolebinding loadstar-autoscaler-scales "
        "--clusterrole=loadstar-autoscaler-scales --serviceaccount=loadstar:loadstar-autoscaler"
    )
    assert "mode buffer is served" in found[-1].text


@pytest.mark.parametrize(
    ("mode", "denied"),
    [
        ("placeholder", ("create", "deployments")),
        ("placeholder", ("create", "priorityclasses")),
        ("provisioningRequest", ("delete", "provisioningrequests")),
        ("provisioningRequest", ("create", "podtemplates")),
        ("computeClass", ("patch", "computeclasses")),
        ("setSize", ("patch", "nodes")),
    ],
)
async def test_each_right_that_a_mode_takes_is_asked_for(
    mode: str, denied: tuple[str, str]
) -> None:
    served = {
        "/apis/autoscaling.x-k8s.io/v1": ["provisioningrequests"],
        "/apis/cloud.google.com/v1": ["computeclasses"],
    }
    objects = {CLASS_L4: {"spec": {"priorities": [{"machineType": "g2-standard-24"}]}}}
    (missing,) = short(await in_cluster(policy(mode), Cluster({denied}, served, objects)))
    assert f"right to {denied[0]} {denied[1]}" in missing.subject
    assert "add the component manifests/base/autoscaler/" in missing.mend


async def test_a_rung_that_is_not_served_says_which_will_be_used() -> None:
    found = await in_cluster(policy("buffer"), Cluster(set(), {}))
    assert found[-1] == Finding(
        Level.NOTE, "pool l4", "mode buffer is not served here; placeholder will be used"
    )
    found = await in_cluster(policy("provisioningRequest"), Cluster(set(), {}))
    assert found[-1].level is Level.SHORT
    assert "autoscaling.x-k8s.io/v1/provisioningrequests" in found[-1].mend


@pytest.mark.parametrize(
    ("objects", "level", "says"),
    [
        pytest.param({}, Level.SHORT, "no ComputeClass l4", id="none"),
        pytest.param(
            {CLASS_L4: {"spec": {"priorities": [{"gpu": {}}, {"gpu": {"type": "nvidia-l4"}}]}}},
            Level.SHORT,
            "priorities 0 name no machine",
            id="a priority that leaves the machine open",
        ),
        pytest.param(
            {
                CLASS_L4: {
                    "spec": {
                        "priorities": [
                            {"machineType": "g2-standard-24"},
                            {"reservations": {"affinity": "Specific"}},
                        ]
                    }
                }
            },
            Level.OK,
            "can keep a minimum of nodes",
            id="all name it",
        ),
    ],
)
async def test_a_class_must_name_its_machines(
    objects: Mapping[str, Any], level: Level, says: str
) -> None:
    served = {"/apis/cloud.google.com/v1": ["computeclasses"]}
    found = await in_cluster(policy("computeClass"), Cluster(set(), served, objects))
    assert found[-1].level is level
    assert says in found[-1].text
