"""Everything of the scenario, running: control plane, Istio, Envoy, pickers, model servers.

A scope: entered, requests flow through all of it; left, it is gone. Nothing here decides anything
of the test; the network must be that of ``tests.e2e.network``.
"""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3
import yaml

from load_tests.envoy import envoy_path
from tests.controlplane.api import Object
from tests.controlplane.build import binaries
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.commands import DEFAULT_CONTROLLERS, Options
from tests.controlplane.objects import documents
from tests.controlplane.processes import Process, Spawner, wait_until
from tests.controlplane.recipes import ISTIO
from tests.e2e import envoy_bootstrap, gateway_api, istio
from tests.e2e.gateway_api import GATEWAY_IP, GATEWAY_LABELS, GATEWAY_PORT, H2C, NAMESPACE, Pool
from tests.e2e.scenario import POOLS, routes

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "manifests" / "base" / "crds"
PICKER_CONFIG = ROOT / "manifests" / "config" / "conformance.yaml"
READY_SECONDS = 120.0
STOP_SECONDS = 5.0
METRICS_PORT = 9090
# The endpoint controllers leave out a pod whose node they do not know.
NODE = "node-0"


@dataclass(slots=True)
class Site:
    """What runs."""

    folder: Path
    plane: ControlPlane
    spawner: Spawner
    http: urllib3.PoolManager
    processes: dict[str, Process] = field(default_factory=dict)

    def picker(self, pool: Pool) -> Process:
        return self.processes[pool.picker]

    def start(self, name: str, command: Sequence[str | Path], **environment: str) -> Process:
        process = Process(
            name, command, logs=self.folder, spawner=self.spawner, env=environment or None
        )
        self.processes[name] = process
        process.start()
        return process

    def run_pod(self, name: str, ip: str, labels: Mapping[str, str]) -> Object:
        """Kubernetes' view of a process of ours."""
        return self.plane.objects.ready_pod(
            name, ip=ip, namespace=NAMESPACE, labels=labels, spec={"nodeName": NODE}
        )

    def start_picker(self, pool: Pool) -> None:
        """Start it, or start it again; ``wait_picker`` returns once it is ready to pick."""
        process = self.processes.get(pool.picker)
        if process is None:
            self.start(pool.picker, self._picker_command(pool))
        else:
            process.start()

    def wait_picker(self, pool: Pool) -> None:
        url = f"http://{pool.picker_ip}:{METRICS_PORT}/readyz"
        self.wait_answers(self.picker(pool), url, READY_SECONDS)

    def wait_answers(self, process: Process, url: str, within_s: float) -> None:
        """Until ``url`` answers 200, while ``process`` runs."""
        process.wait_ready(lambda: self.answers(url), within_s=within_s)

    def answers(self, url: str) -> bool:
        try:
            return self.http.request("GET", url).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def envoy_stats(self, pattern: str) -> dict[str, int]:
        """Envoy's counters and gauges whose names match ``pattern``."""
        url = f"{envoy_bootstrap.ADMIN_URL}/stats"
        page = self.http.request("GET", url, fields={"filter": pattern}).data.decode()
        lines = (line.partition(": ") for line in page.splitlines())
        return {name: int(value) for name, _, value in lines if value.isdigit()}

    def picker_members(self, pool: Pool) -> int:
        """At how many addresses Envoy would ask the picker."""
        stats = self.envoy_stats(f"cluster.*{pool.picker}.*membership_healthy$")
        return sum(stats.values())

    def _picker_command(self, pool: Pool) -> list[str | Path]:
        config = [f"--config-file={PICKER_CONFIG}"] if pool.picked_by_header else []
        account = self.plane.service_account_kubeconfig(NAMESPACE, gateway_api.PICKER_ACCOUNT)
        return [
            *(sys.executable, "-m", "gateway", *config, "--conformance-echo"),
            *("--pool-name", pool.name, "--pool-namespace", NAMESPACE, "--kubeconfig", account),
            *("--bind-address", pool.picker_ip),
            *("--grpc-port", str(gateway_api.PICKER_PORT), "--metrics-port", str(METRICS_PORT)),
            *("--drain-timeout", "1s", "--workers=1"),
        ]


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """The whole scenario, up: a request to each pool has been answered."""
    istio_folder = binaries(ISTIO)
    controllers = (*DEFAULT_CONTROLLERS, "endpointslice-controller")
    with ExitStack() as scope:
        plane = scope.enter_context(ControlPlane.started(folder, Options(controllers=controllers)))
        spawner = Spawner()
        scope.callback(spawner.close)
        http = urllib3.PoolManager(retries=False, timeout=5.0)
        scope.callback(http.clear)
        running = Site(folder, plane, spawner, http)
        scope.callback(_stop, running)
        plane.objects.apply(
            [
                gateway_api.namespace(istio.NAMESPACE),
                gateway_api.namespace(NAMESPACE),
                *documents(istio_folder),
                *documents(CRDS),
            ]
        )
        plane.objects.node(NODE)
        command = istio.command(istio_folder, plane.kubeconfig, folder)
        istiod = running.start("istiod", command, **istio.ENVIRONMENT)
        _start_model_servers(running)
        _apply(running)
        for pool in POOLS:
            running.start_picker(pool)
        for pool in POOLS:
            running.wait_picker(pool)
        running.wait_answers(istiod, istio.READY_URL, READY_SECONDS)
        _start_envoy(running)
        yield running


def _stop(running: Site) -> None:
    for process in reversed(running.processes.values()):
        process.stop(grace_s=0 if process.name == "istiod" else STOP_SECONDS)


def _start_model_servers(running: Site) -> None:
    for pool in POOLS:
        for number, ip in enumerate(pool.pod_ips):
            running.start(f"{pool.name}-{number}", _model_server(pool, ip))
    for pool in POOLS:
        for number, ip in enumerate(pool.pod_ips):
            name = f"{pool.name}-{number}"
            for port in pool.ports:
                running.processes[name].wait_ready(
                    functools.partial(_listens, ip, port), within_s=READY_SECONDS
                )
            running.run_pod(name, ip, pool.labels)


def _model_server(pool: Pool, ip: str) -> list[str | Path]:
    if pool.app_protocol == H2C:
        return [sys.executable, "-m", "tests.e2e.h2c_server", ip, *map(str, pool.ports)]
    return [
        *(sys.executable, "-m", "load_tests.emulator", "--host", ip),
        *("--port", str(pool.ports[0]), "--count", str(len(pool.ports))),
        *("--speed", "50", "--exit-with-parent"),
    ]


def _listens(ip: str, port: int) -> bool:
    try:
        socket.create_connection((ip, port)).close()
    except OSError:
        return False
    return True


def _apply(running: Site) -> None:
    objects = running.plane.objects
    objects.apply(gateway_api.picker_rights(POOLS))
    running.run_pod("gw-istio-0", GATEWAY_IP, GATEWAY_LABELS)
    for pool in POOLS:
        running.run_pod(pool.picker, pool.picker_ip, {"app": pool.picker})
        objects.apply(gateway_api.pool(pool))
    objects.apply(routes())
    objects.apply(istio.without_foreign_filters())
    objects.apply(gateway_api.gateway())


def _start_envoy(running: Site) -> None:
    config = running.folder / "envoy.yaml"
    config.write_text(yaml.safe_dump(envoy_bootstrap.bootstrap()))
    command: list[str | Path] = [
        *(envoy_path(), "--config-path", config, "--disable-hot-restart"),
        *("--concurrency", "1", "--log-level", "warning"),
    ]
    envoy = running.start("envoy", command)
    running.wait_answers(envoy, f"{envoy_bootstrap.ADMIN_URL}/ready", READY_SECONDS)
    url = f"http://{GATEWAY_IP}:{GATEWAY_PORT}/v1/models"

    def flows(pool: Pool) -> bool:
        headers = {"Host": pool.hostname, "test-epp-endpoint-selection": pool.endpoints[0]}
        try:
            return running.http.request("GET", url, headers=headers).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    for pool in POOLS:
        wait_until(
            functools.partial(flows, pool),
            within_s=READY_SECONDS,
            what=f"requests flow to {pool.name}; logs are in {running.folder}",
        )
