"""The command lines of the control plane: a function of options and places, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.controlplane.pki import KeyPair

HOST = "127.0.0.1"
# Of the documentation range: written into the kubernetes Service, dialled by nobody. Loopback
# would be refused.
ADVERTISED = "192.0.2.1"
SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE_IP = "10.96.0.1"
FRONT_PROXY_USER = "front-proxy-client"
DEFAULT_CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "horizontal-pod-autoscaler-controller",
    "serviceaccount-controller",
    "namespace-controller",
    # Without it the roles view, edit and admin are empty.
    "clusterrole-aggregation-controller",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What a test may want different of its control plane."""

    controllers: tuple[str, ...] = DEFAULT_CONTROLLERS
    """Of the controller manager; none starts no controller manager. Add
    ``garbage-collector-controller`` to test ownership. No endpoint controllers: they would fight
    with slices that a test writes."""
    scheduler: bool = False
    hpa_sync_s: float = 2.0
    hpa_downscale_stabilization_s: float = 1.0
    feature_gates: Mapping[str, bool] = field(default_factory=lambda: {"HPAScaleToZero": True})
    aggregator_routing: bool = False
    """True: an APIService is reached at its Service's endpoints, which cannot be loopback.
    False: at its Service's ExternalName, which can."""
    apiserver_flags: tuple[str, ...] = ()
    controller_manager_flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files and ports of one control plane are."""

    binaries: Path
    data: Path
    apiserver_port: int
    etcd_port: int
    etcd_peer_port: int
    client_ca: Path
    front_proxy_ca: Path
    apiserver: KeyPair
    front_proxy: KeyPair
    service_accounts: KeyPair
    controller_manager_kubeconfig: Path
    scheduler_kubeconfig: Path

    @property
    def etcd_url(self) -> str:
        return f"http://{HOST}:{self.etcd_port}"

    @property
    def apiserver_url(self) -> str:
        return f"https://{HOST}:{self.apiserver_port}"


def etcd(places: Places) -> list[str | Path]:
    peer = f"http://{HOST}:{places.etcd_peer_port}"
    return [
        places.binaries / "etcd",
        f"--data-dir={places.data / 'etcd'}",
        f"--listen-client-urls={places.etcd_url}",
        f"--advertise-client-urls={places.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--socket-reuse-port=true",
        # Its data need not survive the machine, only its own restart.
        "--unsafe-no-fsync=true",
        "--log-level=warn",
    ]


def apiserver(options: Options, places: Places) -> list[str | Path]:
    return [
        places.binaries / "kube-apiserver",
        f"--etcd-servers={places.etcd_url}",
        f"--secure-port={places.apiserver_port}",
        f"--bind-address={HOST}",
        "--permit-port-sharing=true",
        f"--advertise-address={ADVERTISED}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={places.apiserver.cert}",
        f"--tls-private-key-file={places.apiserver.key}",
        f"--client-ca-file={places.client_ca}",
        f"--requestheader-client-ca-file={places.front_proxy_ca}",
        f"--requestheader-allowed-names={FRONT_PROXY_USER}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={places.front_proxy.cert}",
        f"--proxy-client-key-file={places.front_proxy.key}",
        f"--enable-aggregator-routing={_flag(options.aggregator_routing)}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={places.service_accounts.cert}",
        f"--service-account-signing-key-file={places.service_accounts.key}",
        "--authorization-mode=RBAC",
        # Pods here have no kubelet to project tokens for.
        "--disable-admission-plugins=ServiceAccount",
        *_gates(options),
        *options.apiserver_flags,
    ]


def controller_manager(options: Options, places: Places) -> list[str | Path]:
    return [
        places.binaries / "kube-controller-manager",
        f"--kubeconfig={places.controller_manager_kubeconfig}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={places.service_accounts.key}",
        f"--root-ca-file={places.client_ca}",
        f"--controllers={','.join(options.controllers)}",
        # 0: serves nothing.
        "--secure-port=0",
        f"--horizontal-pod-autoscaler-sync-period={options.hpa_sync_s:g}s",
        "--horizontal-pod-autoscaler-downscale-stabilization="
        f"{options.hpa_downscale_stabilization_s:g}s",
        *_gates(options),
        *options.controller_manager_flags,
    ]


def scheduler(options: Options, places: Places) -> list[str | Path]:
    return [
        places.binaries / "kube-scheduler",
        f"--kubeconfig={places.scheduler_kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        *_gates(options),
    ]


def _gates(options: Options) -> list[str]:
    gates = ",".join(f"{name}={_flag(on)}" for name, on in options.feature_gates.items())
    return [f"--feature-gates={gates}"] if gates else []


def _flag(on: bool) -> str:
    return "true" if on else "false"
