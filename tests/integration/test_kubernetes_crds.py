"""Our resource definitions, judged by a real API server: accepted, defaulted, and strict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.api import ApiError, Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.objects import Objects

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(120)]

CRDS = Path(__file__).parents[2] / "manifests" / "base" / "crds"
POOL_GROUP = "inference.networking.k8s.io"
GROUPS = pytest.mark.parametrize("group", ["inference.networking.x-k8s.io", "llm-d.ai"])


@pytest.fixture(scope="module")
def objects(control_plane: ControlPlane) -> Objects:
    control_plane.objects.apply(CRDS)
    return control_plane.objects


def pool(namespace: str, **spec: Any) -> Object:
    made: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "vllm"}},
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
        **spec,
    }
    return {
        "apiVersion": f"{POOL_GROUP}/v1",
        "kind": "InferencePool",
        "metadata": {"name": "llama", "namespace": namespace},
        "spec": {name: value for name, value in made.items() if value is not None},
    }


def test_every_definition_is_established(objects: Objects) -> None:
    files = sorted(CRDS.glob("*.yaml"))
    assert [file.stem for file in files] == [
        "inference.networking.k8s.io_inferencepools",
        "inference.networking.x-k8s.io_inferencemodelrewrites",
        "inference.networking.x-k8s.io_inferenceobjectives",
        "llm-d.ai_inferencemodelrewrites",
        "llm-d.ai_inferenceobjectives",
    ]
    for file in files:
        group, plural = file.stem.split("_")
        found = objects.get(
            "apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}"
        )
        assert found is not None
        said = {c["type"]: c["status"] for c in found["status"]["conditions"]}
        assert said["Established"] == "True"
        # A schema that is not structural, or a rule that costs too much, would be said here.
        assert said.get("NonStructuralSchema", "False") == "False"


def test_a_pool_gets_its_defaults(objects: Objects, kube_namespace: str) -> None:
    (stored,) = objects.apply(pool(kube_namespace))
    assert stored["spec"] == {
        "selector": {"matchLabels": {"app": "vllm"}},
        "targetPorts": [{"number": 8000}],
        "appProtocol": "http",
        "endpointPickerRef": {
            "group": "",
            "kind": "Service",
            "name": "epp",
            "port": {"number": 9002},
            "failureMode": "FailClose",
        },
    }
    parent = {"parentRef": {"name": "gw"}}
    stored = objects.patch(stored, {"status": {"parents": [parent]}}, subresource="status")
    assert stored["status"]["parents"] == [
        {"parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}}
    ]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"endpointPickerRef": None}, id="no picker"),
        pytest.param({"endpointPickerRef": {"name": "x", "kind": "Other"}}, id="other, no port"),
        pytest.param({"appProtocol": "kubernetes.io/h2c"}, id="h2c"),
        pytest.param({"targetPorts": [{"number": 8000 + n} for n in range(8)]}, id="8 ports"),
        pytest.param({"selector": {"matchLabels": {"example.com/a": ""}}}, id="an empty value"),
    ],
)
def test_what_a_pool_may_be(spec: dict[str, Any], objects: Objects, kube_namespace: str) -> None:
    objects.dry_run([pool(kube_namespace, **spec)])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param({"selector": None}, "spec.selector: Required", id="no selector"),
        pytest.param({"selector": {}}, "matchLabels: Required", id="no labels"),
        pytest.param({"selector": {"matchLabels": {}}}, "at least 1", id="empty labels"),
        pytest.param(
            {"selector": {"matchLabels": {f"l{n}": "" for n in range(65)}}}, "at most 64", id="65"
        ),
        pytest.param(
            {"selector": {"matchLabels": {"a" * 254: ""}}}, "1 to 253", id="a key too long"
        ),
        pytest.param({"selector": {"matchLabels": {"a": "-"}}}, "should match", id="a bad value"),
        pytest.param({"targetPorts": []}, "at least 1", id="no ports"),
        pytest.param(
            {"targetPorts": [{"number": n} for n in range(1, 10)]}, "at most 8", id="9 ports"
        ),
        pytest.param(
            {"targetPorts": [{"number": 80}, {"number": 80}]}, "must be unique", id="one port twice"
        ),
        pytest.param({"targetPorts": [{"number": 0}]}, "greater than or equal to 1", id="port 0"),
        pytest.param({"appProtocol": "grpc"}, "Unsupported value", id="a protocol"),
        pytest.param(
            {"endpointPickerRef": {"name": "epp"}}, "port is required", id="a Service without port"
        ),
        pytest.param(
            {"endpointPickerRef": {"name": "e", "port": {"number": 1}, "failureMode": "Open"}},
            "Unsupported value",
            id="a failure mode",
        ),
        pytest.param({"replicas": 3}, "unknown field|not declared", id="an unknown field"),
    ],
)
def test_what_a_pool_may_not_be(
    spec: dict[str, Any], message: str, objects: Objects, kube_namespace: str
) -> None:
    with pytest.raises(ApiError, match=message):
        objects.dry_run([pool(kube_namespace, **spec)])


def of(group: str, kind: str, namespace: str, **spec: Any) -> Object:
    return {
        "apiVersion": f"{group}/v1alpha2",
        "kind": kind,
        "metadata": {"name": "it", "namespace": namespace},
        "spec": {"poolRef": {"name": "llama"}, **spec},
    }


@GROUPS
def test_objectives_and_rewrites_in_both_groups(
    group: str, objects: Objects, kube_namespace: str
) -> None:
    rules = [
        {
            "matches": [{"model": {"value": "llama"}}],
            "targets": [{"modelRewrite": "llama-v1", "weight": 95}],
        }
    ]
    objective, rewrite = objects.dry_run(
        [
            of(group, "InferenceObjective", kube_namespace, priority=-10),
            of(group, "InferenceModelRewrite", kube_namespace, rules=rules),
        ]
    )
    ref = {"group": POOL_GROUP, "kind": "InferencePool", "name": "llama"}
    assert objective["spec"] == {"poolRef": ref, "priority": -10}
    assert rewrite["spec"]["poolRef"] == ref
    assert rewrite["spec"]["rules"][0]["matches"] == [
        {"model": {"type": "Exact", "value": "llama"}}
    ]


@GROUPS
@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("InferenceObjective", {"poolRef": None}, "poolRef"),
        ("InferenceObjective", {"priority": 2**40}, "int32"),
        ("InferenceModelRewrite", {}, "rules: Required"),
        ("InferenceModelRewrite", {"rules": [{"targets": []}]}, "at least 1"),
        (
            "InferenceModelRewrite",
            {"rules": [{"targets": [{"modelRewrite": "a", "weight": 0}]}]},
            "greater than or equal to 1",
        ),
        (
            "InferenceModelRewrite",
            {"rules": [{"matches": [{"model": {"type": "Prefix", "value": "a"}}]}]},
            "Unsupported value",
        ),
        (
            "InferenceModelRewrite",
            {"rules": [{"matches": [{"model": {"value": ""}}]}]},
            "at least 1",
        ),
    ],
)
def test_what_they_may_not_be(
    group: str,
    kind: str,
    spec: dict[str, Any],
    message: str,
    objects: Objects,
    kube_namespace: str,
) -> None:
    with pytest.raises(ApiError, match=message):
        objects.dry_run([of(group, kind, kube_namespace, **spec)])
