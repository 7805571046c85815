"""What is rendered is what was reviewed, and holds what every installation must hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.config.command_line import parse
from gateway.config.config_map import ConfigMapRef
from tests.manifests.rendered import (
    CHART_VALUES,
    TREES,
    Object,
    Refused,
    charted,
    containers,
    kustomized,
    kustomized_with,
    objects,
    one,
    tree,
)

pytestmark = pytest.mark.controlplane

GOLDEN = Path(__file__).with_name("golden")
EVERY_TREE = pytest.mark.parametrize("name", TREES)
NEGATIVE = {"pluginRef": "queue-scorer", "weight": -1}
PORTS = {"ext-proc": 9002, "health": 9003, "metrics": 9090}
SIGNALS = {"signals": 9004}


@EVERY_TREE
def test_a_tree_is_the_one_that_was_reviewed(name: str, tmp_path: Path) -> None:
    golden, text = GOLDEN / f"{name}.yaml", tree(name, tmp_path)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def gateway_of(found: list[Object]) -> tuple[Object, Object]:
    """The Deployment's pod and its gateway container."""
    pod = one(found, "Deployment")["spec"]["template"]["spec"]
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
    assert ports(gateway) == (PORTS if flags.signals_port is None else PORTS | SIGNALS)
    given = (flags.grpc_port, flags.grpc_health_port, flags.metrics_port, flags.signals_port)
    assert {port for port in given if port is not None} == set(ports(gateway).values())
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
    found = objects(tree(name, tmp_path))
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
def test_containers_have_no_rights_and_write_nowhere_but_to_tmp(name: str, tmp_path: Path) -> None:
    pod, _ = gateway_of(objects(tree(name, tmp_path)))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(pod).values():
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
    found = objects(tree(name, tmp_path))
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
    pool, service = one(found, "InferencePool"), one(found, "Service")
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
    parts = ["../../components/signals", "../../components/metrics-token", mode]
    found = objects(kustomized_with("overlays/kind", parts, tmp_path))
    pod, gateway = gateway_of(found)
    assert ports(gateway) == PORTS | SIGNALS
    mounted = {mount["name"]: mount["mountPath"] for mount in gateway["volumeMounts"]}
    secrets = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    assert secrets == {"signals-token": "loadstar-signals", "metrics-token": "loadstar-metrics"}
    files = [word.partition("=")[2] for word in gateway["args"] if "-token-file=" in word]
    assert sorted(files) == sorted(f"{mounted[name]}/token" for name in secrets)
    assert one(found, "Service", "loadstar-gateway-signals")["spec"]["clusterIP"] == "None"
    rules = one(found, "NetworkPolicy")["spec"]["ingress"]
    (rule,) = [rule for rule in rules if rule["ports"] == [{"port": 9004}]]
    assert rule["from"][0]["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/part-of": "loadstar"
    }


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
    ],
)
def test_the_chart_refuses_values_and_says_where(
    values: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as caught:
        charted(values, tmp_path)
    assert said in str(caught.value)


def test_both_ways_to_install_give_the_same_pod(tmp_path: Path) -> None:
    """The chart and the overlays are written twice and must not drift apart."""
    kustomize, _ = gateway_of(objects(kustomized("overlays/kind")))
    chart, _ = gateway_of(objects(charted(CHART_VALUES["chart-standalone"], tmp_path)))
    for pod in (kustomize, chart):
        for container in containers(pod).values():
            container["args"] = [a for a in container["args"] if "--workers" not in a]
            container["args"] = [
                a.replace("gw-loadstar", "loadstar-gateway") for a in container["args"]
            ]
            del container["resources"]
            container.pop("imagePullPolicy", None)
        del pod["terminationGracePeriodSeconds"], pod["topologySpreadConstraints"]
        del pod["volumes"], pod["serviceAccountName"]
    assert chart == kustomize
