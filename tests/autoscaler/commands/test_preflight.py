"""Preflight says what is short and the command that asks for it, and changes nothing.

Google's own client speaks to the fake; the cluster's answers are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.actuate.preflight.rights import judge_google
from autoscaler.commands.preflight import main, spoken_of, told
from autoscaler.commands.preflight_cluster import in_cluster
from autoscaler.commands.preflight_google import at_google
from autoscaler.policy.model import Policy, load_policy
from loadstar.kube.errors import NotFound
from loadstar.kube.resources import Resource
from tests.fakes.clock import ManualClock
from tests.fakes.gke.cloud import Cloud, Pool
from tests.fakes.gke.in_process import HOST, Answers, google
from tests.fakes.gke.routes import CLUSTER, LOCATION, PROJECT, Answer, Api, Project, Refused

ZONE = "us-central1-a"
WHERE = f"{{cluster: {CLUSTER}, location: {LOCATION}, "


class Answering:
    api: Api

    def answer(self, method: str, url: str, body: bytes = b"") -> Answer:
        return self.api.answer(method, url, body)


ANSWERS: Answers = (SWITCH := Answering())
GOOGLE = google(ANSWERS)


class Machines(Api):
    """The fake, whose pools have accelerators."""

    def __init__(self, cloud: Cloud, project: Project, configs: Mapping[str, Any]) -> None:
        super().__init__(cloud, project)
        self._configs = configs

    def _described(self, pool: Pool) -> dict[str, Any]:
        return {**super()._described(pool), **self._configs.get(pool.name, {})}


def gpus(name: str, count: int) -> dict[str, Any]:
    return {"config": {"accelerators": [{"acceleratorType": name, "acceleratorCount": count}]}}


def findings(
    pools: str, project: Project, configs: Mapping[str, Any], *clouded: Pool
) -> list[Finding]:
    cloud = Cloud(ManualClock().now)
    for pool in clouded:
        cloud.add(pool)
    SWITCH.api = Machines(cloud, project, configs)
    policy = load_policy(f"models: [{{name: m}}]\npools:\n{pools}")
    found = at_google(policy, GOOGLE, PROJECT, manager=f"http://{HOST}", quotas=f"http://{HOST}")
    assert [c.method for c in cloud.calls if c.method in ("setSize", "setAutoscaling")] == []
    return found


def short(found: list[Finding]) -> list[Finding]:
    return [each for each in found if each.level is Level.SHORT]


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


class Cluster:
    """Answers reviews; ``denied`` are (verb, resource)."""

    def __init__(
        self,
        denied: set[tuple[str, str]],
        served: Mapping[str, list[str]],
        objects: Mapping[str, Any] | None = None,
    ) -> None:
        self.denied, self.served, self.objects = denied, served, objects or {}

    async def raw(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        if path == "/version":
            return {"gitVersion": "v1.36.3"}
        if path in self.objects:
            return self.objects[path]
        if path not in self.served:
            raise NotFound(path, status=404)
        return {"resources": [{"name": each} for each in self.served[path]]}

    async def create(
        self,
        resource: Resource,
        document: dict[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> dict[str, Any]:
        asked = document["spec"]["resourceAttributes"]
        allowed = (asked["verb"], asked["resource"]) not in self.denied
        return {"status": {"allowed": allowed}}


def policy(mode: str) -> Policy:
    return load_policy(
        "models:\n- name: m\n  namespace: llm\n  variants:\n"
        "  - {pool: l4, target: {name: vllm, hpa: vllm}}\n"
        f"pools:\n- {{name: l4, mode: {mode}}}\n"
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


def test_a_name_that_differs_by_a_letter_from_what_gateways_say_is_short() -> None:
    """To the autoscaler it would look like no demand at all, for ever."""
    named = load_policy("models: [{name: llama-8}, {name: other}]\npools: [{name: p}]")
    assert [(each.level, each.text) for each in spoken_of(named, {"llama-8b"})] == [
        (Level.SHORT, "no gateway speaks of it, did you mean llama-8b?"),
        (Level.NOTE, "no gateway speaks of it"),
    ]


def test_a_name_like_that_of_another_model_of_ours_is_no_mistake() -> None:
    named = load_policy("models: [{name: llama-8b}, {name: llama-8}]\npools: [{name: p}]")
    assert [each.level for each in spoken_of(named, {"llama-8b"})] == [Level.OK, Level.NOTE]


CLASS_L4 = "/apis/cloud.google.com/v1/computeclasses/l4"


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


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"models: [{name: m}]\npools: [{nam: p}]\n", "p.yaml: pools[0].nam: unknown key"),
        (b"\xff", "p.yaml: 'utf-8' codec"),
        (b"kind: ConfigMap\ndata: {}\n", "p.yaml: data: the key autoscaler.yaml is missing"),
    ],
)
def test_a_policy_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, says: str
) -> None:
    (tmp_path / "p.yaml").write_bytes(content)
    assert main(["--policy", str(tmp_path / "p.yaml"), "--skip-google", "--skip-cluster"]) == 2
    assert says in capsys.readouterr().err


def test_a_policy_may_stand_in_a_config_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.yaml").write_text(
        'kind: ConfigMap\ndata: {autoscaler.yaml: "{models: [{name: m}], pools: [{name: p}]}"}\n'
    )
    assert main(["--policy", str(tmp_path / "p.yaml"), "--skip-google", "--skip-cluster"]) == 0
    assert capsys.readouterr().out == "nothing to look at\n"
