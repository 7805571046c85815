"""Preflight says of which quota or permission there is too little, with the command to ask by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.actuate.preflight.rights import judge_google
from autoscaler.commands.preflight import told
from autoscaler.commands.preflight_google import at_google
from autoscaler.policy.model import load_policy
from tests.autoscaler.commands.preflight_bench import (
    GOOGLE,
    SWITCH,
    WHERE,
    ZONE,
    Machines,
    findings,
    gpus,
    short,
)
from tests.fakes.clock import ManualClock
from tests.fakes.gke.cloud import Cloud, Pool
from tests.fakes.gke.in_process import HOST
from tests.fakes.gke.routes import PROJECT, Project, Refused


def test_enough_of_everything_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    regional = [{"metric": "NVIDIA_L4_GPUS", "limit": 64, "usage": 8}]
    everywhere = [{"metric": "GPUS_ALL_REGIONS", "limit": 100, "usage": 8}]
    found = findings(
        f"- {WHERE}name: l4, mode: setSize, maxUnits: 8}}",
        Project(regional=regional, project=everywhere),
        {"l4": gpus("nvidia-l4", 2)},
        Pool("l4", (ZONE,)),
    )
    assert {each.level for each in found} == {Level.OK}
    assert told(found) == 0
    assert "64 chips, 8 in use; l4 may want 16" in capsys.readouterr().out


def test_a_regional_quota_that_is_short_comes_with_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = findings(
        f"- {WHERE}name: l4, mode: setSize, maxUnits: 8}}",
        Project(regional=[{"metric": "NVIDIA_L4_GPUS", "limit": 4, "usage": 4}]),
        {"l4": gpus("nvidia-l4", 2)},
        Pool("l4", (ZONE,)),
    )
    (quota,) = short(found)
    assert quota.text == "4 chips, 4 in use; l4 may want 16"
    assert quota.mend == (
        "gcloud beta quotas preferences create --project=demo --service=compute.googleapis.com "
        "--quota-id=NVIDIA-L4-GPUS-per-project-region --preferred-value=16 "
        '--dimensions=region=us-central1 --email="$(gcloud config get account)"'
    )
    assert told(found) == 1
    assert quota.mend in capsys.readouterr().out


def test_spot_pools_draw_on_the_preemptible_quota_together() -> None:
    regional = [
        {"metric": "NVIDIA_L4_GPUS", "limit": 99, "usage": 0},
        {"metric": "PREEMPTIBLE_NVIDIA_L4_GPUS", "limit": 10, "usage": 0},
    ]
    found = findings(
        f"- {WHERE}name: a, mode: setSize, maxUnits: 3, spot: true}}\n"
        f"- {WHERE}name: b, mode: setSize, maxUnits: 3, spot: true}}",
        Project(regional=regional),
        {name: {"config": {**gpus("nvidia-l4", 2)["config"], "spot": True}} for name in "ab"},
        Pool("a", (ZONE,), spot=True),
        Pool("b", (ZONE,), spot=True),
    )
    (quota,) = short(found)
    assert quota.text == "10 chips, 0 in use; a, b may want 12"
    assert "PREEMPTIBLE-NVIDIA-L4-GPUS" in quota.mend


def test_newer_families_have_a_quota_with_a_dimension() -> None:
    info = {
        "metric": "compute.googleapis.com/gpus_per_gpu_family",
        "quotaId": "GPUS-PER-GPU-FAMILY-per-project-region",
        "dimensionsInfos": [
            {
                "dimensions": {"region": "us-central1", "gpu_family": "NVIDIA_H200_141GB"},
                "details": {"value": "16"},
            },
            {
                "dimensions": {"region": "europe-west4", "gpu_family": "NVIDIA_H200_141GB"},
                "details": {"value": "640"},
            },
        ],
    }
    found = findings(
        f"- {WHERE}name: h200, mode: setSize, maxUnits: 4}}",
        Project(infos=[info]),
        {"h200": gpus("nvidia-h200-141gb", 8)},
        Pool("h200", (ZONE,)),
    )
    (quota,) = short(found)
    assert quota.text == "16 chips; h200 may want 32"
    assert "--dimensions=region=us-central1,gpu_family=NVIDIA_H200_141GB" in quota.mend


def test_tpus_have_theirs_and_a_slice_has_as_many_nodes_as_its_topology_says() -> None:
    info = {
        "metric": "compute.googleapis.com/tpus_per_tpu_family",
        "quotaId": "TPUS-PER-TPU-FAMILY-per-project-region",
        "dimensionsInfos": [
            {
                "dimensions": {"region": "us-central1", "tpu_family": "CT5LP"},
                "details": {"value": "8"},
            }
        ],
    }
    config = {
        "config": {"machineType": "ct5lp-hightpu-4t"},
        "placementPolicy": {"tpuTopology": "4x4"},
    }
    found = findings(
        f"- {WHERE}name: v5e, kind: tpu, mode: setSize, maxUnits: 1, nodesPerUnit: 2}}",
        Project(infos=[info]),
        {"v5e": config},
        Pool("v5e", (ZONE,), slice_nodes=4),
    )
    (nodes,) = short(found)
    assert nodes.mend == "write nodesPerUnit: 4"
    assert "8 chips; v5e may want 8" in " ".join(each.text for each in found)


def test_permissions_that_are_missing_are_named_with_a_role() -> None:
    found = findings(
        f"- {WHERE}name: l4, mode: setSize}}",
        Project(denied={"container.clusters.update"}),
        {},
        Pool("l4", (ZONE,)),
    )
    (missing,) = short(found)
    assert missing.subject == "permission container.clusters.update"
    assert missing.mend == (
        'gcloud projects add-iam-policy-binding demo --member=user:"$(gcloud config get account)" '
        "--role=roles/container.clusterAdmin"
    )


def test_a_service_account_that_lacks_a_permission_is_named_in_the_command() -> None:
    (missing,) = judge_google(["container.clusters.update"], (), "demo", "a@demo.iam")
    assert "--member=serviceAccount:a@demo.iam " in missing.mend


@pytest.mark.parametrize(
    ("accelerator", "quotas", "said"),
    [
        ("nvidia-h100-80gb", {"NVIDIA_H100_GPUS": 8}, "8 chips"),
        ("nvidia-a100-80gb", {"NVIDIA_A100_GPUS": 8, "NVIDIA_A100_80GB_GPUS": 4}, "4 chips"),
        ("nvidia-tesla-a100", {"NVIDIA_A100_GPUS": 8, "NVIDIA_A100_80GB_GPUS": 4}, "8 chips"),
    ],
)
def test_a_family_is_found_whatever_it_is_called(
    accelerator: str, quotas: Mapping[str, int], said: str
) -> None:
    regional = [{"metric": name, "limit": limit, "usage": 0} for name, limit in quotas.items()]
    found = findings(
        f"- {WHERE}name: a, mode: setSize, maxUnits: 9}}",
        Project(regional=regional),
        {"a": gpus(accelerator, 1)},
        Pool("a", (ZONE,)),
    )
    (quota,) = short(found)
    assert quota.text.startswith(said)


def test_the_quota_of_all_regions_together_may_be_what_is_short() -> None:
    found = findings(
        f"- {WHERE}name: l4, mode: setSize, maxUnits: 8}}",
        Project(
            regional=[{"metric": "NVIDIA_L4_GPUS", "limit": 64, "usage": 0}],
            project=[{"metric": "GPUS_ALL_REGIONS", "limit": 4, "usage": 0}],
        ),
        {"l4": gpus("nvidia-l4", 1)},
        Pool("l4", (ZONE,)),
    )
    (quota,) = short(found)
    assert "--quota-id=GPUS-ALL-REGIONS-per-project --preferred-value=8" in quota.mend


def test_quotas_that_may_not_be_read_say_so_where_they_are_missed() -> None:
    class Locked(Machines):
        def _other(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            if path.endswith("/quotaInfos"):
                raise Refused(403, "Cloud Quotas API has not been used in project demo")
            return super()._other(path, body)

    def of(limit: int | None) -> list[Finding]:
        cloud = Cloud(ManualClock().now)
        cloud.add(Pool("l4", (ZONE,)))
        metric = "NVIDIA_L4_GPUS" if limit else "NVIDIA_T4_GPUS"
        regional = [{"metric": metric, "limit": limit or 0, "usage": 0}]
        SWITCH.api = Locked(cloud, Project(regional=regional), {"l4": gpus("nvidia-l4", 1)})
        policy = load_policy(f"models: [{{name: m}}]\npools: [{WHERE}name: l4, maxUnits: 2}}]")
        return at_google(policy, GOOGLE, PROJECT, manager=f"http://{HOST}", quotas=f"http://{HOST}")

    assert {each.level for each in of(8)} == {Level.OK}
    unknown = [each for each in of(None) if each.level is Level.UNKNOWN]
    assert "no quota found for the 2 chips of l4" in unknown[0].text
    assert "Cloud Quotas API has not been used" in unknown[1].text
