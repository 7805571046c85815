"""The kind overlay as it runs: its rights, accounts and ConfigMaps applied, its pods as processes.

Each process has the command line of its pod and the token of its service account. What a network
would bring, addresses of Services and ports, is put in place of the overlay's. Blocking.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import Process, Spawner, wait_until
from tests.integration.adapter_lab import free_port
from tests.manifests.gateway_process import Started, started
from tests.manifests.rendered import (
    MANIFESTS,
    Object,
    containers,
    kustomized_in,
    objects,
    one,
    part,
)

STAYS = ("ServiceAccount", "Secret", "ConfigMap", "Service")
RIGHTS = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
START_SECONDS = 60.0
GATEWAY, ADAPTER, AUTOSCALER = "gateway", "metrics-adapter", "autoscaler"
OVERLAY = "overlays/kind"


class ModelServers:
    """Model servers' metrics pages, at the same port of several addresses of this machine."""

    def __init__(self, waiting: Mapping[str, float], kv_used: float) -> None:
        """``waiting`` is the queue by address."""

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = self.connection.getsockname()[0]
                body = (
                    f'vllm:num_requests_waiting{{model_name="m"}} {waiting[host]}\n'
                    'vllm:num_requests_running{model_name="m"} 4\n'
                    f'vllm:kv_cache_usage_perc{{model_name="m"}} {kv_used}\n'
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.port = 0
        self._servers = []
        for host in waiting:
            self._servers.append(ThreadingHTTPServer((host, self.port), Page))
            self.port = int(self._servers[0].server_address[1])
        self._threads = [
            threading.Thread(target=each.serve_forever, daemon=True) for each in self._servers
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join(10)


@dataclass(slots=True)
class Whole:
    """All three, running."""

    plane: ControlPlane
    namespace: str
    found: list[Object]
    gateway: Started
    adapter: Process
    autoscaler: Process
    ledger: Path

    def log(self, process: Process) -> str:
        return process.log.read_text()

    def raw(self, path: str) -> Any:
        """As ``kubectl get --raw``."""
        return self.plane.objects.api.request("GET", path)


@contextlib.contextmanager
def whole(
    plane: ControlPlane, namespace: str, folder: Path, model_port: int, policy: str
) -> Iterator[Whole]:
    """The overlay, installed in ``namespace`` and running; ``policy`` is the autoscaler's."""
    found = objects(kustomized_in(OVERLAY, namespace, folder))
    policy_map = one(part(found, AUTOSCALER), "ConfigMap")
    policy_map["data"]["autoscaler.yaml"] = policy
    wide = [each for each in found if each["kind"] in RIGHTS and "Cluster" in each["kind"]]
    apis = [each for each in found if each["kind"] == "APIService"]
    elsewhere = [each for each in found if each["metadata"].get("namespace") == "kube-system"]
    for document in MANIFESTS.glob("base/crds/*_*.yaml"):
        plane.objects.apply(document)
    plane.objects.apply([each for each in found if each["kind"] in (*STAYS, *RIGHTS)])
    with contextlib.ExitStack() as stack:
        for each in (*wide, *apis, *elsewhere):
            stack.callback(plane.objects.delete, each)
        spawner = Spawner()
        stack.callback(spawner.close)
        words = _arguments(found, GATEWAY, namespace)
        swapped = {
            "--signals-port=9004": "--signals-port=0",
            "--endpoint-target-ports=8000": f"--endpoint-target-ports={model_port}",
        }
        assert swapped.keys() <= set(words)
        gateway = stack.enter_context(
            started(
                [swapped.get(word, word) for word in words],
                plane.service_account_kubeconfig(namespace, "loadstar-gateway"),
                folder,
            )
        )
        (heard,) = [line for line in gateway.lines() if line["msg"] == "serving"]
        signals = f"127.0.0.1:{heard['signals_port']}"
        wishes = free_port()
        autoscaler = _autoscaler(plane, found, namespace, folder, spawner, signals, wishes)
        stack.callback(autoscaler.stop, grace_s=0)
        autoscaler.start()
        adapter, port = _adapter(
            plane, found, namespace, folder, spawner, (signals, f"127.0.0.1:{wishes}")
        )
        stack.callback(adapter.stop, grace_s=0)
        adapter.start()
        _register(plane, apis, namespace, port)
        yield Whole(
            plane, namespace, found, gateway, adapter, autoscaler, folder / "autoscaler/ledger"
        )


def _arguments(found: list[Object], component: str, namespace: str) -> list[str]:
    (workload,) = [
        each for each in part(found, component) if each["kind"] in ("Deployment", "StatefulSet")
    ]
    pod = containers(workload["spec"]["template"]["spec"])
    name = {GATEWAY: "gateway", ADAPTER: "adapter", AUTOSCALER: "autoscaler"}[component]
    values = {"POD_NAMESPACE": namespace, "POD_NAME": "loadstar-autoscaler-0", "POD_UID": "uid"}
    words = []
    for word in pod[name]["args"][1:]:
        for variable, value in values.items():
            word = word.replace(f"$({variable})", value)
        words.append(word)
    return words


def _autoscaler(
    plane: ControlPlane,
    found: list[Object],
    namespace: str,
    folder: Path,
    spawner: Spawner,
    signals: str,
    wishes: int,
) -> Process:
    kept = folder / "autoscaler"
    kept.mkdir()
    words = [
        word.replace("/var/lib/loadstar", str(kept))
        .replace("loadstar-gateway-signals:9004", signals)
        .replace("--signals-port=9004", f"--signals-port={wishes}")
        for word in _arguments(found, AUTOSCALER, namespace)
    ]
    kubeconfig = plane.service_account_kubeconfig(namespace, "loadstar-autoscaler")
    own = (f"--kubeconfig={kubeconfig}", "--metrics-port=0", "--bind-address=127.0.0.1")
    return _process("autoscaler", [*words, *own], folder, spawner)


def _adapter(
    plane: ControlPlane,
    found: list[Object],
    namespace: str,
    folder: Path,
    spawner: Spawner,
    feeds: tuple[str, str],
) -> tuple[Process, int]:
    (document,) = [each for each in part(found, ADAPTER) if each["kind"] == "ConfigMap"]
    config = yaml.safe_load(document["data"]["adapter.yaml"])
    (feed,) = [each for each in config["sources"] if each["type"] == "feed"]
    assert len(feed["addresses"]) == len(feeds)
    feed["addresses"] = list(feeds)
    file = folder / "adapter.yaml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    words = [
        word.replace("/etc/loadstar/adapter.yaml", str(file))
        for word in _arguments(found, ADAPTER, namespace)
        # It names gateways by a Service; here they are ports of this machine.
        if not word.startswith("--config-map=")
    ]
    kubeconfig = plane.service_account_kubeconfig(namespace, "loadstar-metrics-adapter")
    own = (f"--kubeconfig={kubeconfig}", f"--secure-port={port}", "--bind-address=127.0.0.1")
    return _process("metrics_adapter", [*words, *own], folder, spawner), port


def _process(module: str, words: list[str], folder: Path, spawner: Spawner) -> Process:
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", module, *words]
    return Process(module, command, logs=folder, spawner=spawner, env={"PYTHONPATH": path})


def _register(plane: ControlPlane, apis: list[Object], namespace: str, port: int) -> None:
    """As the overlay has it, but that the Service is this machine."""
    names = {each["spec"]["service"]["name"] for each in apis}
    (name,) = names
    service = {"apiVersion": "v1", "kind": "Service"}
    metadata = {"name": name, "namespace": namespace}
    plane.objects.delete({**service, "metadata": metadata}, wait=True)
    spec = {"type": "ExternalName", "externalName": "localhost"}
    plane.objects.apply({**service, "metadata": metadata, "spec": spec})
    for each in apis:
        each["spec"]["service"]["port"] = port
        plane.objects.apply(each)
    for each in apis:
        plane.objects.wait_condition(each, "Available", within_s=START_SECONDS)


def running_pods(
    plane: ControlPlane, namespace: str, addresses: list[str], *, labels: str
) -> list[Object]:
    """Play the kubelet for as many pods of a Deployment as there are ``addresses``."""

    def made() -> list[Object]:
        return plane.objects.list("v1", "Pod", namespace, labels)

    wait_until(lambda: len(made()) >= len(addresses), within_s=20, what="the pods are there")
    pods = sorted(made(), key=lambda pod: str(pod["metadata"]["name"]))
    for pod, address in zip(pods, addresses, strict=False):
        plane.objects.patch_pod_status(pod, ip=address)
    return pods
