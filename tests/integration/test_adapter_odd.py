"""What no example shows, through the API server: odd names, long lists, workloads by label."""

from __future__ import annotations

import contextlib
import gzip
import http.client
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.controlplane.api import Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until
from tests.integration.adapter_lab import (
    NAME,
    NAMESPACE,
    Adapter,
    adapter,
    custom,
    external,
    installed,
    master,
    raw,
    sample,
    serves,
    tls_context,
)
from tests.integration.test_adapter_hpa import Vector, deployed, deployment

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(180)]

LONG = 1500
"""Rows: some 300 KB."""


@pytest.fixture(scope="module")
def behind(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Adapter]:
    with installed(control_plane, tmp_path_factory.mktemp("adapter")) as made:
        yield made


def until_served(plane: ControlPlane, path: str) -> None:
    wait_until(lambda: serves(plane, path), within_s=10, what=f"{path} is answered")


@pytest.mark.parametrize(
    "metric",
    [
        "prometheus.googleapis.com|vllm:num_requests_waiting|gauge",
        "a.metric-with_every.kind:of|mark",
        "a metric with spaces",
        "größe%41",
        "status",
        "*",
    ],
)
def test_a_metric_may_be_called_anything_but_a_path(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str, metric: str
) -> None:
    ns = kube_namespace
    behind.tell([sample("Namespace", ns, ns, metric, 1.5), external(ns, metric, 2.5)])
    path = custom(ns, "metrics", metric)
    until_served(control_plane, path)
    assert raw(control_plane, path)["items"][0]["value"] == "1500m"
    outside = path.replace("custom.metrics.k8s.io/v1beta2", "external.metrics.k8s.io/v1beta1")
    assert raw(control_plane, outside.replace("/metrics/", "/"))["items"][0]["value"] == "2500m"


@pytest.mark.parametrize(
    ("selector", "pools"),
    [
        ("model=qwen", ["a", "b"]),
        ("model=qwen,pool!=a", ["b"]),
        ("pool in (a,c),model notin (qwen)", ["c"]),
        ("!model", ["d"]),
        ("gen>2", ["c"]),
        ("model", ["a", "b", "c"]),
    ],
)
def test_series_are_chosen_by_the_whole_grammar_of_selectors(
    control_plane: ControlPlane, behind: Adapter, selector: str, pools: list[str]
) -> None:
    behind.tell(
        [
            external("lab", "odd", 1, pool="a", model="qwen", gen="1"),
            external("lab", "odd", 2, pool="b", model="qwen", gen="2"),
            external("lab", "odd", 3, pool="c", model="llama", gen="3"),
            external("lab", "odd", 4, pool="d"),
        ]
    )
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/lab/odd"
    until_served(control_plane, path)
    found = control_plane.objects.api.request("GET", path, query={"labelSelector": selector})
    assert [item["metricLabels"]["pool"] for item in found["items"]] == pools


def test_a_long_list_comes_packed_through_the_aggregator(
    control_plane: ControlPlane, behind: Adapter
) -> None:
    rows = [external("lab", "long", number, shard=f"shard-{number:05}") for number in range(LONG)]
    behind.tell(rows)
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/lab/long"
    until_served(control_plane, path)
    plain = raw(control_plane, path)
    assert len(plain["items"]) == LONG
    connection = http.client.HTTPSConnection(
        control_plane.url.removeprefix("https://"),
        timeout=10,
        context=tls_context(master(control_plane)),
    )
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        packed = answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 60_000
    found = orjson.loads(gzip.decompress(packed))
    assert [item["value"] for item in found["items"]] == [i["value"] for i in plain["items"]]


def test_deployments_are_chosen_by_their_labels_and_one_without_pods_has_no_queue(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str
) -> None:
    plane, ns = control_plane, kube_namespace
    busy = Vector(name="busy", replicas=2, running=2, metrics=(), to=2)
    for name, replicas, tier in (("busy", 2, "gold"), ("idle", 0, "gold"), ("other", 0, "tin")):
        made = deployment(ns, name, replicas)
        made["metadata"]["labels"] = {"tier": tier}
        plane.objects.apply(made)
    pods = deployed(plane, ns, busy)
    behind.tell([sample("Pod", ns, pod, "queue_depth", 3) for pod in pods])
    path = custom(ns, "deployments.apps", "*", "queue_depth") + "?labelSelector=tier%3Dgold"

    def told() -> dict[str, str]:
        if not serves(plane, path):
            return {}
        items = raw(plane, path)["items"]
        return {item["describedObject"]["name"]: item["value"] for item in items}

    wait_until(lambda: told() == {"busy": "6", "idle": "0"}, within_s=10, what="both are told of")
    # A gauge of pods that nobody reports is another thing than one of no pods.
    behind.tell([])
    wait_until(lambda: told() == {"idle": "0"}, within_s=10, what="what is not known is left out")


def test_a_config_map_is_in_force_at_once_and_a_broken_one_is_said_on_it(
    control_plane: ControlPlane, behind: Adapter, tmp_path: Path
) -> None:
    """With the rights of the manifests: it may follow this one, and write Events."""
    plane = control_plane
    config_map: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
    }

    def write(text: str) -> None:
        plane.objects.apply({**config_map, "data": {"adapter.yaml": text}})

    def told() -> list[str]:
        found = plane.objects.list("v1", "Event", NAMESPACE)
        return [each["message"] for each in found if each["involvedObject"]["name"] == NAME]

    write("stalenes: 1m")
    with adapter(plane, tmp_path, f"--config-map={NAMESPACE}/{NAME}/adapter.yaml") as made:
        refused = (
            "not taken, what is in force stays: stalenes: unknown key, did you mean staleness?"
        )
        wait_until(lambda: told() == [refused], within_s=5, what="the mistake is an Event")
        samples = tmp_path / "others.json"
        row = external("lab", "followed", 3)
        samples.write_bytes(orjson.dumps({"samples": [row]}))
        write(f"sources: [{{type: file, path: {samples}}}]")
        path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/lab/followed"

        def served() -> bool:
            said = made.direct(path, pair=master(plane))
            return said.status == 200 and said.document["items"][0]["value"] == "3"

        wait_until(served, within_s=2, what="the change is in force")
        wait_until(lambda: len(told()) == 2, within_s=5, what="it is said that it was taken")
