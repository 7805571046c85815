"""A real Kubernetes control plane for tests: etcd, kube-apiserver, controllers, on loopback.

In a test (marked ``controlplane``; the fixtures come with ``pytest_plugins`` of tests/conftest)::

    def test_something(control_plane: ControlPlane, kube_namespace: str) -> None:
        objects = control_plane.objects                     # as administrator
        objects.apply(Path("manifests/base/crds"))          # waits until CRDs are established
        objects.apply({"apiVersion": "v1", "kind": "ConfigMap", ...})  # also YAML text, lists
        objects.dry_run(rendered_yaml)                      # strict; raises ApiError
        pod = objects.ready_pod("m-0", ip="127.0.0.1", namespace=kube_namespace,
                                labels={"app": "m"}, ports=[8000])
        objects.patch_pod_status(pod, ready=False)
        objects.patch(pod, {"metadata": {"annotations": {"a": "b"}}})
        objects.delete(pod, wait=True)
        objects.get("v1", "Pod", "m-0", kube_namespace)     # None
        objects.list("v1", "Event", kube_namespace)

        control_plane.kubeconfig                            # a file: the administrator's
        control_plane.kubeconfig_for("alice", ["dev"])      # by client certificate
        control_plane.service_account_kubeconfig(kube_namespace, "gateway")  # by TokenRequest
        control_plane.objects_of("alice", ["dev"]).apply(...)   # ApiError 403

        control_plane.restart_apiserver()                   # a crash; same port, same data
        with control_plane.apiserver_away(): ...            # connection refused
        with control_plane.apiserver_frozen(): ...          # connects, never answers

        control_plane.client_ca, control_plane.front_proxy_ca    # Authority: .cert, .leaf(...)
        control_plane.register_api("metrics.k8s.io", "v1beta1", port=..., ca=...)  # APIService

A control plane of your own, with other options: ``with ControlPlane.started(tmp, Options(
aggregator_routing=True)) as mine``. The shared one runs deployments, replica sets, service
accounts, namespaces and the HPA (every 2 s, down after 1 s, to zero allowed); no endpoint
controllers, no kubelet: write EndpointSlices and pod statuses yourself. Leave the shared one as
you found it: objects in ``kube_namespace``, the API server running. All calls block; from a
coroutine, ``await asyncio.to_thread(...)``. Logs: ``control_plane.folder``; their tails are in
the errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from tests.controlplane import commands, extension
from tests.controlplane.api import Api, Object
from tests.controlplane.build import binaries
from tests.controlplane.commands import Options, Places
from tests.controlplane.identities import Identities
from tests.controlplane.objects import Objects
from tests.controlplane.pki import service_account_keys
from tests.controlplane.processes import HeldPorts, Process, ProcessFailed, Spawner

READY_SECONDS = 60.0
STOP_SECONDS = 3.0
TOKEN_SECONDS = 3600
ADMINISTRATORS = "system:masters"


class ControlPlane:
    """One control plane, its keys and its processes. Made by ``started``."""

    def __init__(
        self, folder: Path, options: Options, binaries: Path, ports: Sequence[int]
    ) -> None:
        self.folder = folder
        apiserver_port, etcd_port, etcd_peer_port = ports
        self.url = f"https://{commands.HOST}:{apiserver_port}"
        self._identities = Identities(folder, self.url)
        self.client_ca = self._identities.client_ca
        """Signs users, and the API server's own certificate."""
        self.front_proxy_ca = self._identities.front_proxy_ca
        """Signs the API server as it talks to extension servers."""
        self.front_proxy = self.front_proxy_ca.leaf(commands.FRONT_PROXY_USER)
        self._apis: list[Api] = []
        self.kubeconfig = self.kubeconfig_for("admin", [ADMINISTRATORS])
        self.places = Places(
            binaries=binaries,
            data=folder,
            apiserver_port=apiserver_port,
            etcd_port=etcd_port,
            etcd_peer_port=etcd_peer_port,
            client_ca=self.client_ca.cert,
            front_proxy_ca=self.front_proxy_ca.cert,
            apiserver=self.client_ca.leaf(
                "kube-apiserver",
                hosts=[
                    *("localhost", "kubernetes.default.svc", commands.HOST),
                    commands.KUBERNETES_SERVICE_IP,
                ],
            ),
            front_proxy=self.front_proxy,
            service_accounts=service_account_keys(folder / "pki"),
            controller_manager_kubeconfig=self.kubeconfig_for("system:kube-controller-manager"),
            scheduler_kubeconfig=self.kubeconfig_for("system:kube-scheduler"),
        )
        self.objects = self.objects_of("admin", [ADMINISTRATORS])
        self._options = options
        self._spawner = Spawner()
        self.etcd = self._process("etcd", commands.etcd(self.places))
        self.apiserver = self._process("kube-apiserver", commands.apiserver(options, self.places))
        self.controller_manager = self._process(
            "kube-controller-manager", commands.controller_manager(options, self.places)
        )
        self.scheduler = self._process("kube-scheduler", commands.scheduler(options, self.places))

    @classmethod
    @contextmanager
    def started(cls, folder: Path, options: Options | None = None) -> Iterator[Self]:
        """A control plane that answers, for as long as the scope lasts; files in ``folder``.

        Raises NoGo or BuildFailed where it cannot be built, ProcessFailed where it does not start.
        """
        built = binaries()
        with ExitStack() as scope:
            held = HeldPorts(3, commands.HOST)
            scope.callback(held.close)
            plane = cls(folder, options or Options(), built, held.ports)
            scope.callback(plane._stop)
            plane._start()
            yield plane

    def _start(self) -> None:
        self.etcd.start()
        self.start_apiserver()
        if self._options.controllers:
            self.controller_manager.start()
        if self._options.scheduler:
            self.scheduler.start()
        if "serviceaccount-controller" in self._options.controllers:
            self.controller_manager.wait_ready(
                lambda: self.objects.get("v1", "ServiceAccount", "default", "default") is not None,
                within_s=READY_SECONDS,
            )

    def _stop(self) -> None:
        for api in self._apis:
            api.close()
        # The API server would wait for its watches to end; etcd's data go with the folder.
        for process in (self.scheduler, self.controller_manager, self.apiserver, self.etcd):
            process.stop(grace_s=0)
        self._spawner.close()

    # -- the API server, there and away -----------------------------------------------------

    def start_apiserver(self) -> None:
        """Returns once it is ready."""
        self.apiserver.start()
        self.apiserver.wait_ready(self.objects.api.answers, within_s=READY_SECONDS)

    def stop_apiserver(self, *, grace_s: float = 0) -> None:
        """0: killed, as in a crash. Its port stays ours: connections are refused."""
        self.apiserver.stop(grace_s=grace_s)

    def restart_apiserver(self, *, grace_s: float = 0) -> None:
        self.stop_apiserver(grace_s=grace_s)
        self.start_apiserver()

    @contextmanager
    def apiserver_away(self) -> Iterator[None]:
        """Inside the scope, connections to it are refused; after it, it is ready again."""
        self.stop_apiserver()
        try:
            yield
        finally:
            self.start_apiserver()

    @contextmanager
    def apiserver_frozen(self) -> Iterator[None]:
        """Inside the scope it takes connections and answers nobody; after it, it is ready."""
        self.apiserver.pause()
        try:
            yield
        finally:
            self.apiserver.resume()
            self.apiserver.wait_ready(self.objects.api.answers, within_s=READY_SECONDS)

    def check(self) -> None:
        """Raises ProcessFailed if something that should run has ended."""
        wanted = [self.etcd, self.apiserver]
        if self._options.controllers:
            wanted.append(self.controller_manager)
        if self._options.scheduler:
            wanted.append(self.scheduler)
        for process in wanted:
            process.check()

    # -- users ------------------------------------------------------------------------------

    def kubeconfig_for(
        self, user: str, groups: Sequence[str] = (), *, namespace: str = "default"
    ) -> Path:
        """A kubeconfig of ``user`` in ``groups``, by client certificate; RBAC gives the rights."""
        return self._identities.kubeconfig(user, groups, namespace)

    def objects_of(
        self, user: str, groups: Sequence[str] = (), *, namespace: str = "default"
    ) -> Objects:
        """Objects as ``user`` in ``groups`` may see them."""
        api = Api(self.url, self.client_ca.cert, pair=self._identities.pair(user, groups))
        self._apis.append(api)
        return Objects(api, namespace)

    def service_account_token(
        self, namespace: str, name: str, *, expires_s: int = TOKEN_SECONDS
    ) -> str:
        """A token of the service account, which is made if there is none."""
        account: Object = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace},
        }
        if self.objects.get("v1", "ServiceAccount", name, namespace) is None:
            self.objects.apply(account)
        token: str = self.objects.api.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": expires_s},
            },
        )["status"]["token"]
        return token

    def service_account_kubeconfig(
        self, namespace: str, name: str, *, expires_s: int = TOKEN_SECONDS
    ) -> Path:
        """A kubeconfig with such a token: what a pod of this service account may do."""
        token = self.service_account_token(namespace, name, expires_s=expires_s)
        return self._identities.kubeconfig_with_token(name, token, namespace)

    # -- extension servers ------------------------------------------------------------------

    def register_api(
        self,
        group: str,
        version: str,
        *,
        port: int,
        ca: Path,
        namespace: str = "default",
        service: str = "extension",
        priority: int = 100,
    ) -> Object:
        """An APIService served on ``port`` of this machine, and the Service it goes through.

        The server's certificate must be of ``<service>.<namespace>.svc``. Wait for it with
        ``objects.wait_condition(it, "Available")``. Not with aggregator routing.
        """
        if self._options.aggregator_routing:
            raise ProcessFailed("aggregator routing goes to endpoints: write an EndpointSlice")
        stored = self.objects.apply(
            extension.api_service(group, version, namespace, service, port, ca, priority)
        )
        return stored[1]

    def _process(self, name: str, command: Sequence[str | Path]) -> Process:
        return Process(name, command, logs=self.folder, spawner=self._spawner)
