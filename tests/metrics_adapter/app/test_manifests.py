"""What is installed and what is served belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from metrics_adapter.adapter_config import AdapterConfig, parse_config
from metrics_adapter.api.discovery import EVERY_API
from metrics_adapter.catalog import catalog
from metrics_adapter.config.command_line import parse

MANIFESTS = Path(__file__).parents[3] / "manifests"
ADAPTER = MANIFESTS / "base" / "metrics_adapter"


def documents(file: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


def one(file: str) -> dict[str, Any]:
    (found,) = documents(ADAPTER / file)
    return found


def api_services() -> dict[str, dict[str, Any]]:
    files = sorted((MANIFESTS / "base" / "apiservices").glob("*.yaml"))
    found = [each for file in files for each in documents(file) if each["kind"] == "APIService"]
    return {each["metadata"]["name"]: each["spec"] for each in found}


def test_every_served_api_is_registered_and_the_newer_preferred() -> None:
    found = api_services()
    served = {f"{v}.{group}" for group, versions in EVERY_API.items() for v in versions}
    assert set(found) == served
    custom = "custom.metrics.k8s.io"
    assert (
        found[f"v1beta2.{custom}"]["versionPriority"]
        > (found[f"v1beta1.{custom}"]["versionPriority"])
    )
    assert not any("insecureSkipTLSVerify" in spec for spec in found.values())


def test_registrations_point_at_the_service_and_it_at_the_pods() -> None:
    service, deployment = one("service.yaml"), one("deployment.yaml")
    place = {key: service["metadata"][key] for key in ("namespace", "name")}
    for spec in api_services().values():
        assert spec["service"] == {**place, "port": service["spec"]["ports"][0]["port"]}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"],
        one("poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"],
        one("networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] in {p["name"] for p in container["ports"]}


def test_the_deployments_flags_are_good(tmp_path: Path) -> None:
    """As in the pod, but for the file that a volume brings."""
    (container,) = one("deployment.yaml")["spec"]["template"]["spec"]["containers"]
    command, *args = container["args"]
    config = tmp_path / "adapter.yaml"
    config.write_text(one("config.yaml")["data"]["adapter.yaml"])
    flags, notes = parse([arg.replace("/etc/loadstar/adapter.yaml", str(config)) for arg in args])
    assert (command, notes) == ("adapter", [])
    assert flags.secure_port == container["ports"][0]["containerPort"]
    service, secret = one("service.yaml")["metadata"], one("certificate.yaml")["metadata"]
    assert flags.service == (service["namespace"], service["name"])
    assert flags.managed_certificate_secret == (secret["namespace"], secret["name"])
    place = one("config.yaml")["metadata"]
    assert flags.config_map == f"{place['namespace']}/{place['name']}/adapter.yaml"
    catalog(parse_config(config.read_bytes()))


def test_rights_are_no_more_than_these() -> None:
    """A new right is a decision: it shows here."""
    found = {
        (kind, tuple(rule["apiGroups"]), resource): tuple(rule["verbs"])
        for document in documents(ADAPTER / "rbac.yaml")
        for kind in [document["kind"]]
        for rule in document.get("rules", ())
        for resource in rule["resources"]
    }
    assert found == {
        ("ClusterRole", ("",), "pods"): ("list", "watch"),
        ("ClusterRole", ("",), "services"): ("list", "watch"),
        ("ClusterRole", ("inference.networking.k8s.io",), "inferencepools"): ("list", "watch"),
        ("ClusterRole", ("apps",), "deployments"): ("list", "watch"),
        ("ClusterRole", ("apps",), "statefulsets"): ("list", "watch"),
        ("ClusterRole", ("leaderworkerset.x-k8s.io",), "leaderworkersets"): ("list", "watch"),
        ("ClusterRole", ("apiregistration.k8s.io",), "apiservices"): ("get", "patch"),
        ("Role", ("",), "secrets"): ("get", "update"),
        ("Role", ("",), "configmaps"): ("list", "watch"),
        ("Role", ("",), "events"): ("create", "patch"),
    }


@pytest.mark.parametrize(
    "file", sorted((MANIFESTS / "examples" / "hpa").glob("*.yaml")), ids=lambda file: file.stem
)
def test_example_autoscalers_use_metrics_that_are_served(file: Path) -> None:
    known = catalog(AdapterConfig()).metrics
    (hpa,) = documents(file)
    for metric in hpa["spec"]["metrics"]:
        named = metric[metric["type"].lower()]["metric"]["name"]
        assert named in known
        if metric["type"] == "External":
            assert known[named].entry.external
