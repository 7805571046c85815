"""What is rendered is what was reviewed, and holds what every installation must hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.config.command_line import parse
from loadstar.kube.config_map import ConfigMapRef
from tests.manifests.rendered import (
    CHART_VALUES,
    TREES,
    WHOLE,
    Object,
    Refused,
    charted,
    containers,
    kustomized,
    kustomized_with,
    objects,
    one,
    part,
    tree,
)

pytestmark = pytest.mark.controlplane

GOLDEN = Path(__file__).with_name("golden")
EVERY_TREE = pytest.mark.parametrize("name", TREES)
NEGATIVE = {"pluginRef": "queue-scorer", "weight": -1}
PORTS = {"ext-proc": 9002, "health": 9003, "metrics": 9090, "signals": 9004}


@EVERY_TREE
def test_a_tree_is_the_one_that_was_reviewed(name: str, tmp_path: Path) -> None:
    golden, text = GOLDEN / f"{name}.yaml", tree(name, tmp_path)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def gateway_of(found: list[Object]) -> tuple[Object, Object]:
    """The Deployment's pod and its gateway container."""
    pod = one(part(found, "gateway"), "Deployment")["spec"]["template"]["spec"]
    return pod, containers(pod)["gateway"]


@EVERY_TREE
def test_the_command_line_is_one_that_the_gateway_takes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, gateway = gateway_of(objects(tree(name, tmp_path)))
    arguments = [word.replace("$(POD_NAMESPACE)", "inference") for word in gateway["args"][1:]]
    mounted = [word for word in arguments if "/etc/loadstar" in word]  # not on this machine
    flags, _ = parse([word for word in arguments if word not in (*mounted, "--enable-cert-reload")])
    assert gateway["args"][0] == "gateway"
    assert ports(gateway) == PORTS
    given = (flags.grpc_port, flags.grpc_health_port, flags.metrics_port, flags.signals_port)
    assert set(given) == set(ports(gateway).values())
    assert pod["terminationGracePeriodSeconds"] > flags.drain_timeout
    envoy = containers(pod).get("envoy")
    if envoy is not None:
        assert ports(envoy) == {"http": 8081}
        drain = envoy["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert drain < pod["terminationGracePeriodSeconds"]


def ports(container: Object) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


@EVERY_TREE
def test_it_follows_its_own_config_map_and_may_read_no_other(name: str, tmp_path: Path) -> None:
    found = part(objects(tree(name, tmp_path)), "gateway")
    _, gateway = gateway_of(found)
    (flag,) = [word for word in gateway["args"] if word.startswith("--config-map=")]
    namespace = one(found, "Deployment")["metadata"]["namespace"]
    ref = ConfigMapRef.parse(
        flag.removeprefix("--config-map=").replace("$(POD_NAMESPACE)", namespace)
    )
    document = one(found, "ConfigMap", ref.name)
    assert document["metadata"]["labels"]["loadstar.dev/config"] == "endpoint-picker"
    assert b"EndpointPickerConfig" in ref.of(document)
    rules = {tuple(rule["resources"]): rule for rule in one(found, "Role")["rules"]}
    assert rules["configmaps",]["resourceNames"] == [ref.name]
    assert not [rule for rule in rules.values() if "*" in (*rule["verbs"], *rule["resources"])]
    assert not [each for each in found if each["kind"].startswith("ClusterRole")]


@EVERY_TREE
def test_containers_have_no_rights_and_a_read_only_root(name: str, tmp_path: Path) -> None:
    found = objects(tree(name, tmp_path))
    workloads = [each for each in found if each["kind"] in ("Deployment", "StatefulSet")]
    pods = [each["spec"]["template"]["spec"] for each in workloads]
    assert len(pods) == (3 if name in WHOLE else 1)
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [each for pod in pods for each in containers(pod).values()]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert ":latest" not in container["image"]
        assert ":" in container["image"]


@EVERY_TREE
def test_selectors_and_ports_meet(name: str, tmp_path: Path) -> None:
    """A Service, budget or policy that selects nothing is silent in a cluster."""
    found = part(objects(tree(name, tmp_path)), "gateway")
    deployment = one(found, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    pod = deployment["spec"]["template"]["spec"]
    named = {port for c in containers(pod).values() for port in ports(c)}
    services = [each for each in found if each["kind"] == "Service"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        *(service["spec"]["selector"] for service in services),
        one(found, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(c["labelSelector"]["matchLabels"] for c in pod["topologySpreadConstraints"]),
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert {port["targetPort"] for each in services for port in each["spec"]["ports"]} <= named
    policy = one(found, "NetworkPolicy")["spec"]
    numbers = {number for c in containers(pod).values() for number in ports(c).values()}
    assert {p["port"] for rule in policy["ingress"] for p in rule["ports"]} <= numbers
    for scaler in [each for each in found if each["kind"] == "HorizontalPodAutoscaler"]:
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        scaled = {m["containerResource"]["container"] for m in scaler["spec"]["metrics"]}
        assert scaled == containers(pod).keys()
        assert "replicas" not in deployment["spec"]  # or each apply would undo its work


def test_in_standalone_mode_envoy_has_somebody_to_ask_from_its_first_to_its_last_request() -> None:
    pod, gateway = gateway_of(objects(kustomized("overlays/kind")))
    assert [c["name"] for c in pod["initContainers"]] == ["gateway"]
    assert gateway["restartPolicy"] == "Always"  # a sidecar: ends after the others
    assert "startupProbe" in gateway  # which the others wait for


def test_the_pool_asks_the_port_that_picks() -> None:
    found = objects(kustomized("overlays/gke-standard"))
    pool, service = one(found, "InferencePool"), one(found, "Service", "loadstar-gateway")
    reference = pool["spec"]["endpointPickerRef"]
    assert (reference["name"], reference["port"]["number"]) == (
        service["metadata"]["name"],
        service["spec"]["ports"][0]["port"],
    )
    name = pool["metadata"]["name"]
    _, gateway = gateway_of(found)
    assert f"--pool-name={name}" in gateway["args"]
    targets = [
        one(found, kind)["spec"]["targetRef"] for kind in ("GCPBackendPolicy", "HealthCheckPolicy")
    ]
    assert (
        targets
        == [{"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": name}] * 2
    )


@pytest.mark.parametrize("mode", ["../../components/gateway-api", "../../envoy"])
def test_components_that_need_a_secret_go_with_either_mode(mode: str, tmp_path: Path) -> None:
    parts = ["../../components/signals-token", "../../components/metrics-token", mode]
    found = objects(kustomized_with(parts, tmp_path, bases=("gateway",)))
    pod, gateway = gateway_of(found)
    mounted = {mount["name"]: mount["mountPath"] for mount in gateway["volumeMounts"]}
    secrets = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    assert secrets == {"signals-token": "loadstar-signals", "metrics-token": "loadstar-metrics"}
    files = [word.partition("=")[2] for word in gateway["args"] if "-token-file=" in word]
    assert sorted(files) == sorted(f"{mounted[name]}/token" for name in secrets)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({"mod": "standalone"}, "'mod' not allowed", id="a key that is mistyped"),
        pytest.param({"mode": "proxy"}, "at '/mode': value must be one of", id="an unknown mode"),
        pytest.param(
            {"pool": {"targetPorts": [8000, 8000]}}, "/pool/targetPorts", id="a port twice"
        ),
        pytest.param({"pool": {"selector": {"app": None}}}, "at '/pool/selector'", id="no pods"),
        pytest.param({"workers": "2"}, "at '/workers': got string, want integer", id="a text"),
        pytest.param({"image": {"digest": "latest"}}, "at '/image/digest'", id="no digest"),
        pytest.param({"extraArgs": ["v=4"]}, "at '/extraArgs/0'", id="no flag"),
        pytest.param({"config": {"plugin": []}}, "at '/config'", id="a key of no configuration"),
        pytest.param(
            {
                "config": {
                    "schedulingProfiles": [
                        {"name": "a", "plugins": [{"pluginRef": "b", "weight": -1}]}
                    ]
                }
            },
            "weight': minimum",
            id="a negative weight",
        ),
        pytest.param({"resources": {"requests": {"gpu": 1}}}, "at '/resources", id="no resource"),
        pytest.param({"adapter": {"replica": 1}}, "at '/adapter'", id="a key of the adapter"),
        pytest.param(
            {"adapter": {"sources": [{"type": "pods", "interval": "5"}]}},
            "/adapter/sources/0/interval",
            id="a source without a unit",
        ),
        pytest.param(
            {"autoscaler": {"policy": {"mode": "on"}}}, "/autoscaler/policy/mode", id="no mode"
        ),
    ],
)
def test_the_chart_refuses_values_and_says_where(
    values: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as caught:
        charted(values, tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("component", ["gateway", "metrics-adapter", "autoscaler"])
def test_both_ways_to_install_give_the_same_pod(component: str, tmp_path: Path) -> None:
    """The chart and the overlays are written twice and must not drift apart."""
    kustomize = comparable(objects(kustomized("overlays/kind")), component)
    chart = objects(charted(CHART_VALUES["chart-standalone"], tmp_path))
    assert comparable(chart, component) == kustomize


def comparable(found: list[Object], component: str) -> Object:
    """A service's pod, but for what is meant to differ, and with the names of the overlays."""
    kinds = ("Deployment", "StatefulSet")
    (workload,) = [each for each in part(found, component) if each["kind"] in kinds]
    pod: Object = workload["spec"]["template"]["spec"]
    for container in containers(pod).values():
        words = [word for word in container["args"] if "--workers" not in word]
        words = [word for word in words if "--lease-name=" not in word]
        container["args"] = [named(word) for word in words]
        container["env"] = {each["name"]: each for each in container.get("env", ())}
        del container["resources"]
        container.pop("imagePullPolicy", None)
    for key in ("terminationGracePeriodSeconds", "topologySpreadConstraints", "volumes"):
        del pod[key]
    del pod["serviceAccountName"]
    return pod


def named(word: str) -> str:
    """A word of a chart's command line as an overlay has it."""
    for chart, overlay in (
        ("gw-loadstar-metrics-adapter", "loadstar-metrics-adapter"),
        ("gw-loadstar-autoscaler", "loadstar-autoscaler"),
        ("gw-loadstar", "loadstar-gateway"),
    ):
        word = word.replace(chart, overlay)
    return word
