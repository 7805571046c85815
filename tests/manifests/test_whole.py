"""The three services of one installation know each other by the right names, and one namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoscaler.config import parse as autoscaler_flags
from autoscaler.policy.model import Mode, load_policy
from metrics_adapter.adapter_config import FeedSource, parse_config
from metrics_adapter.catalog import catalog
from metrics_adapter.config.command_line import parse as adapter_flags
from tests.manifests.rendered import (
    WHOLE,
    Object,
    containers,
    kustomized_with,
    objects,
    one,
    part,
    tree,
)

pytestmark = pytest.mark.controlplane

EVERY_WHOLE_TREE = pytest.mark.parametrize("name", WHOLE)
ADAPTER, AUTOSCALER = "metrics-adapter", "autoscaler"
SIGNALS = 9004


def namespace_of(name: str) -> str:
    return "loadstar" if name == "kind" else "inference"


def arguments(workload: Object, container: str, namespace: str) -> list[str]:
    given = containers(workload["spec"]["template"]["spec"])[container]["args"]
    assert not [word for word in given if "loadstar-system" in word]
    return [word.replace("$(POD_NAMESPACE)", namespace) for word in given]


def headless(found: list[Object]) -> dict[str, Object]:
    services = [each for each in found if each["kind"] == "Service"]
    return {each["metadata"]["name"]: each for each in services if each["spec"].get("clusterIP")}


def sources_of(found: list[Object]) -> tuple[FeedSource, ...]:
    (document,) = [each for each in part(found, ADAPTER) if each["kind"] == "ConfigMap"]
    config = parse_config(document["data"]["adapter.yaml"])
    catalog(config)
    return tuple(each for each in config.sources if isinstance(each, FeedSource))


@EVERY_WHOLE_TREE
def test_everything_is_in_one_namespace_but_what_belongs_to_the_cluster(
    name: str, tmp_path: Path
) -> None:
    found = objects(tree(name, tmp_path))
    places = {each["metadata"].get("namespace") for each in found}
    assert places == {namespace_of(name), "kube-system", None}
    (reader,) = [each for each in found if each["metadata"].get("namespace") == "kube-system"]
    assert reader["roleRef"]["name"] == "extension-apiserver-authentication-reader"
    wide = {each["kind"] for each in found if "namespace" not in each["metadata"]}
    assert wide - {"Namespace"} == {"APIService", "ClusterRole", "ClusterRoleBinding"}


@EVERY_WHOLE_TREE
def test_each_binding_is_for_an_account_that_is_there(name: str, tmp_path: Path) -> None:
    found = objects(tree(name, tmp_path))
    accounts = {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in found
        if each["kind"] == "ServiceAccount"
    }
    roles = {
        each["metadata"]["name"] for each in found if each["kind"] in ("Role", "ClusterRole")
    } | {"system:auth-delegator", "extension-apiserver-authentication-reader"}
    bindings = [each for each in found if each["kind"].endswith("Binding")]
    assert len(bindings) == 8
    for each in bindings:
        (subject,) = each["subjects"]
        assert (subject["namespace"], subject["name"]) in accounts
        assert each["roleRef"]["name"] in roles


@EVERY_WHOLE_TREE
def test_adapter_and_autoscaler_listen_where_there_is_somebody_to_hear(
    name: str, tmp_path: Path
) -> None:
    found = objects(tree(name, tmp_path))
    services = headless(found)
    for service in services.values():
        assert [port["port"] for port in service["spec"]["ports"]] == [SIGNALS]
    (feed,) = sources_of(found)
    assert sorted(feed.addresses) == sorted(f"{each}:{SIGNALS}" for each in services)
    gateways, autoscalers = (headless(part(found, each)) for each in ("gateway", AUTOSCALER))
    set_ = one(part(found, AUTOSCALER), "StatefulSet")
    words = arguments(set_, "autoscaler", namespace_of(name))
    flags = autoscaler_flags([word for word in words[1:] if "/etc/loadstar" not in word])
    assert list(flags.signals) == [f"{each}:{SIGNALS}" for each in gateways]
    assert [set_["spec"]["serviceName"]] == list(autoscalers)
    for component, service in (("gateway", gateways), (AUTOSCALER, autoscalers)):
        (only,) = service.values()
        kinds = ("Deployment", "StatefulSet")
        (workload,) = [each for each in part(found, component) if each["kind"] in kinds]
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert only["spec"]["selector"].items() <= labels.items()


@EVERY_WHOLE_TREE
def test_signals_are_for_these_services_only(name: str, tmp_path: Path) -> None:
    """By default there is no token: the network says who may listen."""
    found = objects(tree(name, tmp_path))
    own = {"app.kubernetes.io/part-of": "loadstar"}
    rules = {
        component: [
            rule["from"]
            for rule in one(part(found, component), "NetworkPolicy")["spec"]["ingress"]
            if {"port": SIGNALS} in rule["ports"]
        ]
        for component in ("gateway", AUTOSCALER)
    }
    key = "app.kubernetes.io/component"
    listeners = {"key": key, "operator": "In", "values": [ADAPTER, AUTOSCALER]}
    gateway = {"matchLabels": own, "matchExpressions": [listeners]}
    autoscaler = {"matchLabels": {**own, key: ADAPTER}}
    assert rules == {
        "gateway": [[{"namespaceSelector": {}, "podSelector": gateway}]],
        AUTOSCALER: [[{"namespaceSelector": {}, "podSelector": autoscaler}]],
    }
    for component in (ADAPTER, AUTOSCALER):
        (workload,) = [
            each for each in part(found, component) if each["kind"] in ("Deployment", "StatefulSet")
        ]
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert labels[key] == component
        assert own.items() <= labels.items()


@EVERY_WHOLE_TREE
def test_the_adapter_is_registered_as_it_is_there(name: str, tmp_path: Path) -> None:
    found = objects(tree(name, tmp_path))
    mine = part(found, ADAPTER)
    service = one(mine, "Service")["metadata"]
    place = (service["namespace"], service["name"])
    registered = {
        each["metadata"]["name"]: each["spec"]["service"]
        for each in found
        if each["kind"] == "APIService"
    }
    for each in registered.values():
        assert (each["namespace"], each["name"], each["port"]) == (*place, 443)
    words = arguments(one(mine, "Deployment"), "adapter", namespace_of(name))
    file = tmp_path / "adapter.yaml"
    (document,) = [each for each in mine if each["kind"] == "ConfigMap"]
    file.write_text(document["data"]["adapter.yaml"])
    given = [word.replace("/etc/loadstar/adapter.yaml", str(file)) for word in words[1:]]
    flags, notes = adapter_flags(given)
    assert notes == []
    assert flags.service == place
    mounted = document["metadata"]
    assert flags.config_map == f"{mounted['namespace']}/{mounted['name']}/adapter.yaml"
    secret = one(mine, "Secret")["metadata"]
    assert flags.managed_certificate_secret == (secret["namespace"], secret["name"])
    external = "v1beta1.external.metrics.k8s.io"
    assert (external in registered) is flags.enable_external_metrics_api
    assert flags.enable_external_metrics_api is (name != "chart-gke")
    role = one(mine, "Role")["rules"]
    assert role[0]["resourceNames"] == [secret["name"]]
    assert role[1]["resourceNames"] == [mounted["name"]]


@EVERY_WHOLE_TREE
def test_the_autoscaler_looks_at_the_pods_that_the_gateway_routes_to_and_writes_nothing(
    name: str, tmp_path: Path
) -> None:
    found = objects(tree(name, tmp_path))
    (document,) = [each for each in part(found, AUTOSCALER) if each["kind"] == "ConfigMap"]
    policy = load_policy(document["data"]["autoscaler.yaml"])
    assert policy.mode is Mode.ADVISORY
    (model,) = policy.models
    assert (model.namespace, dict(model.selector)) == (namespace_of(name), {"app": "vllm"})
    words = arguments(one(part(found, AUTOSCALER), "StatefulSet"), "autoscaler", model.namespace)
    place = f"{model.namespace}/{document['metadata']['name']}"
    assert f"--config-map={place}" in words
    leases = [
        rule["resourceNames"]
        for rule in one(part(found, AUTOSCALER), "Role")["rules"]
        if rule["resources"] == ["leases"] and "resourceNames" in rule
    ]
    assert leases == [[autoscaler_flags(plain(words)).lease_name]]


def plain(words: list[str]) -> list[str]:
    return [word for word in words[1:] if "/etc/loadstar" not in word]


def test_a_token_is_known_to_all_three(tmp_path: Path) -> None:
    bases = ("gateway", "metrics_adapter", "apiservices", "autoscaler")
    parts = ["../../components/one-namespace", "../../components/signals-token", "../../envoy"]
    found = objects(kustomized_with(parts, tmp_path, bases=bases))
    path = "/etc/loadstar/signals/token"
    workloads = [each for each in found if each["kind"] in ("Deployment", "StatefulSet")]
    assert len(workloads) == 3
    for each in workloads:
        pod = each["spec"]["template"]["spec"]
        mounts = [
            mount
            for container in containers(pod).values()
            for mount in container["volumeMounts"]
            if mount["mountPath"] == "/etc/loadstar/signals"
        ]
        assert [mount["name"] for mount in mounts] == ["signals-token"]
        secrets = [
            v["secret"]["secretName"] for v in pod["volumes"] if v["name"] == "signals-token"
        ]
        assert secrets == ["loadstar-signals"]
    (feed,) = sources_of(found)
    assert feed.token_file == path
    words = [
        word
        for each in workloads
        for c in containers(each["spec"]["template"]["spec"]).values()
        for word in c["args"]
        if word.endswith(path)
    ]
    assert sorted(words) == [
        f"--signals-port-token-file={path}",
        f"--signals-token-file={path}",
        f"--signals-token-file={path}",
    ]


def test_external_metrics_can_be_anothers(tmp_path: Path) -> None:
    parts = ["../../components/external-metrics-elsewhere"]
    bases = ("metrics_adapter", "apiservices")
    found = objects(kustomized_with(parts, tmp_path, bases=bases))
    names = [each["metadata"]["name"] for each in found if each["kind"] == "APIService"]
    assert sorted(names) == ["v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"]
    (adapter,) = [each for each in found if each["kind"] == "Deployment"]
    assert (
        "--enable-external-metrics-api=false"
        in containers(adapter["spec"]["template"]["spec"])["adapter"]["args"]
    )
