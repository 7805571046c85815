"""Preflight says where a node pool is not what the policy takes it for, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from autoscaler.actuate.preflight.finding import Level
from tests.autoscaler.commands.preflight_bench import (
    WHERE,
    ZONE,
    findings,
    short,
)
from tests.fakes.gke.cloud import Pool
from tests.fakes.gke.routes import CLUSTER, LOCATION, PROJECT, Project


@pytest.mark.parametrize(
    ("limits", "flag"),
    [
        ({"totalMaxNodeCount": 4}, "--total-max-nodes=9"),
        ({"maxNodeCount": 2}, "--max-nodes=5"),
    ],
)
def test_a_pools_maximum_is_raised_in_the_terms_it_has(
    limits: dict[str, object], flag: str
) -> None:
    """The cluster may be written as one path; the command names its parts."""
    path = f"projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}"
    autoscaled: dict[str, object] = {"enabled": True, **limits}
    found = findings(
        f"- {{cluster: {path}, name: l4, mode: floor, maxUnits: 9}}",
        Project(),
        {},
        Pool("l4", (ZONE, "us-central1-b"), autoscaling=autoscaled),
    )
    (maximum,) = short(found)
    assert maximum.mend == (
        "gcloud container node-pools update l4 --project=demo --location=us-central1 "
        f"--cluster=llm --enable-autoscaling {flag}"
    )


@pytest.mark.parametrize(
    ("pool", "cloud", "says"),
    [
        ("mode: setSize", Pool("other", (ZONE,)), "no node pool l4; the cluster has other"),
        (
            "mode: setSize",
            Pool("l4", (ZONE,), autoscaling={"enabled": True, "totalMaxNodeCount": 99}),
            "it would be undone, so never written",
        ),
        ("mode: floor", Pool("l4", (ZONE,)), "autoscaling off: there is no floor"),
        ("mode: buffer", Pool("l4", (ZONE,)), "nothing adds nodes to it"),
        (
            "mode: buffer, maxUnits: 9",
            Pool("l4", (ZONE,), autoscaling={"enabled": True, "totalMaxNodeCount": 4}),
            "it grows to 4 nodes at most, maxUnits may want 9",
        ),
        ("mode: setSize, spot: true", Pool("l4", (ZONE,)), "the policy says spot, it is not spot"),
        (
            "mode: setSize, zones: [us-central1-b]",
            Pool("l4", (ZONE,)),
            "the policy says us-central1-b, it is in us-central1-a",
        ),
    ],
)
def test_a_pool_that_is_not_what_the_policy_takes_it_for(pool: str, cloud: Pool, says: str) -> None:
    found = findings(f"- {WHERE}name: l4, {pool}}}", Project(), {}, cloud)
    assert says in " ".join(each.text for each in short(found))


@pytest.mark.parametrize(
    ("pool", "config", "level", "says"),
    [
        ("flexStart: true", {}, Level.SHORT, "the policy says flexStart, it is not flexStart"),
        ("spot: false", {"flexStart": True}, Level.SHORT, "nothing of flexStart, it is flexStart"),
        (
            "flexStart: true",
            {"flexStart": True, "maxRunDuration": "604800s"},
            Level.NOTE,
            "each of its nodes goes 604800s after it came",
        ),
    ],
)
def test_a_pool_is_bought_as_the_policy_says(
    pool: str, config: Mapping[str, Any], level: Level, says: str
) -> None:
    configs = {"l4": {"config": dict(config)}}
    found = findings(f"- {WHERE}name: l4, {pool}}}", Project(), configs, Pool("l4", (ZONE,)))
    assert [(each.level, says in each.text) for each in found] == [(level, True)]


def test_a_pool_of_queued_requests_is_of_no_use_to_a_workload() -> None:
    queued = {"config": {"flexStart": True}, "queuedProvisioning": {"enabled": True}}
    found = findings(
        f"- {WHERE}name: l4, flexStart: true}}", Project(), {"l4": queued}, Pool("l4", (ZONE,))
    )
    (unfit,) = short(found)
    assert "only for pods that name a queued request" in unfit.text
