"""The admission policy refuses what no gateway could take, and nothing that one could."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.controlplane.api import ApiError
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.objects import Objects
from tests.controlplane.processes import wait_until
from tests.manifests.rendered import MANIFESTS, Object, kustomized

pytestmark = pytest.mark.controlplane

LABELS = {"loadstar.dev/config": "endpoint-picker"}
GOOD = (MANIFESTS / "base/gateway/picker.yaml").read_text()
SAMPLES = sorted((MANIFESTS / "config").glob("*.yaml"))


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Iterator[Objects]:
    """A server at which the policy is in force."""
    admin = control_plane.objects
    stored = admin.apply(kustomized("base/admission"))
    broken = config_map("default", "kind: Nonsense\n")

    def refuses() -> bool:
        try:
            admin.dry_run(broken)
        except ApiError as error:
            return error.status == 422
        return False

    wait_until(refuses, within_s=15, what="the policy is in force")
    yield admin
    for each in stored:
        admin.delete(each)


def config_map(namespace: str, text: str | None, labels: dict[str, str] | None = None) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "gateway",
            "namespace": namespace,
            "labels": LABELS if labels is None else labels,
        },
        "data": {} if text is None else {"picker.yaml": text},
    }


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(path.read_text(), id=path.stem) for path in SAMPLES),
        pytest.param(json.dumps(yaml.safe_load(GOOD)), id="as JSON"),
        pytest.param(json.dumps(yaml.safe_load(GOOD), indent="\t"), id="as JSON with tabs"),
        pytest.param(GOOD.replace("\n", "\r\n"), id="with the line ends of another system"),
        pytest.param("plugins: [{type: queue-scorer}]  # -1\n", id="without a kind"),
        pytest.param(GOOD + "# " + "x" * 200_000, id="long"),
        pytest.param("apiVersion: inference.networking.x-k8s.io/v1alpha1\n", id="of the old name"),
        pytest.param('kind: "EndpointPickerConfig" # ours\n', id="in quotes"),
    ],
)
def test_a_good_one_is_taken(text: str, server: Objects, kube_namespace: str) -> None:
    assert server.dry_run(config_map(kube_namespace, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(None, "data has no picker.yaml", id="nothing"),
        pytest.param(" \n", "picker.yaml is empty", id="blank"),
        pytest.param("plugins:\n\t- type: queue-scorer\n", "indented with tabs", id="tabs"),
        pytest.param(GOOD + "<<<<<<< HEAD\n", "merge conflict", id="a conflict"),
        pytest.param("plugins: {{ .Values.plugins }}\n", "was not rendered", id="a template"),
        pytest.param("kind: Deployment\n", "of kind EndpointPickerConfig", id="another kind"),
        pytest.param(
            "apiVersion: llm-d.ai/v2\n", "of apiVersion llm-d.ai/v1alpha1", id="a version"
        ),
        pytest.param(GOOD.replace("weight: 1", "weight: -1"), "negative weight", id="a weight"),
        pytest.param('{"a": [{"weight":-2}]}', "negative weight", id="a weight in JSON"),
        pytest.param(
            GOOD.replace("schedulingProfiles:", "schedulingProfile:"),
            'unknown key "schedulingProfile"',
            id="a key that is mistyped",
        ),
        pytest.param("# " + "x" * 300_000, "larger than 256 KiB", id="too long"),
    ],
)
def test_a_bad_one_is_refused_with_the_reason(
    text: str | None, said: str, server: Objects, kube_namespace: str
) -> None:
    with pytest.raises(ApiError) as caught:
        server.dry_run(config_map(kube_namespace, text))
    assert caught.value.status == 422
    assert said in caught.value.message


def test_a_good_one_cannot_be_made_bad(server: Objects, kube_namespace: str) -> None:
    (stored,) = server.apply(config_map(kube_namespace, GOOD))
    with pytest.raises(ApiError, match=r"picker\.yaml is empty"):
        server.patch(stored, {"data": {"picker.yaml": ""}})
    kept = server.get("v1", "ConfigMap", "gateway", kube_namespace)
    assert kept is not None
    assert kept["data"] == {"picker.yaml": GOOD}


def test_config_maps_of_others_are_not_looked_at(server: Objects, kube_namespace: str) -> None:
    assert server.dry_run(config_map(kube_namespace, "kind: Nonsense\n", labels={}))


def test_the_config_map_that_is_shipped_is_looked_at(server: Objects, tmp_path: Path) -> None:
    shipped = [each for each in yaml.safe_load_all(kustomized("overlays/kind")) if each]
    labelled = [o for o in shipped if LABELS.items() <= o["metadata"].get("labels", {}).items()]
    assert [(o["kind"], o["metadata"]["name"]) for o in labelled] == [
        ("ConfigMap", "loadstar-gateway")
    ]
