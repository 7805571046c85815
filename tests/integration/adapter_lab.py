"""An adapter of one's own behind the real API server: installed by its manifests, fed by a file.

It runs as its service account, with exactly the rights of ``manifests/base/metrics_adapter``, makes
its own certificate, and is reached through APIServices as in a cluster.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.client
import os
import re
import socket
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import urllib3
import yaml

from loadstar.clock import SystemClock
from tests.controlplane.api import ApiError, Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.objects import documents
from tests.controlplane.pki import KeyPair
from tests.controlplane.processes import Process, Spawner, wait_until

MANIFESTS = Path(__file__).parents[2] / "manifests" / "base"
NAMESPACE, NAME = "loadstar-system", "loadstar-metrics-adapter"
SECRET = f"{NAME}-ca"
CUSTOM, EXTERNAL = "custom.metrics.k8s.io", "external.metrics.k8s.io"
API_SERVICES = (f"v1beta1.{CUSTOM}", f"v1beta2.{CUSTOM}", f"v1beta1.{EXTERNAL}")
FIRST_SECONDS = 20.0
"""For an interpreter to start on a busy machine; what counts is measured after that."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stamp(wall: float) -> str:
    moment = datetime.datetime.fromtimestamp(wall, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sample(
    kind: str, namespace: str, name: str, metric: str, value: float, *, age: float | None = None
) -> Object:
    """One row about an object; ``age`` None is always fresh."""
    described = {"kind": kind, "name": name}
    if kind != "Namespace":
        described["namespace"] = namespace
    when = "now" if age is None else stamp(SystemClock().wall() - age)
    return {"object": described, "metric": metric, "value": value, "timestamp": when}


def external(namespace: str, metric: str, value: float, **labels: str) -> Object:
    return {
        "external": True,
        "namespace": namespace,
        "metric": metric,
        "labels": labels,
        "value": value,
        "timestamp": "now",
    }


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of the adapter's own."""

    status: int
    headers: Message
    body: bytes

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Adapter:
    """One replica; it can be ended and started again on the same port."""

    plane: ControlPlane
    folder: Path
    port: int
    process: Process
    samples: Path
    config: Path
    available_after: float = 0.0
    """Seconds from its registration until the API server asked it."""

    def start(self) -> None:
        """Returns once it is ready."""
        self.process.start()
        self.process.wait_ready(self.ready, within_s=FIRST_SECONDS)

    def ready(self) -> bool:
        try:
            return self.direct("/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def direct(
        self,
        path: str,
        *,
        pair: KeyPair | None = None,
        headers: Iterable[tuple[str, str]] = (),
        method: str = "GET",
    ) -> Said:
        """Past the aggregator, to the adapter itself, with whatever credentials.

        Raises OSError (of which ssl.SSLError is one) where it does not come to an answer.
        """
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=10, context=tls_context(pair)
        )
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return Said(answer.status, answer.headers, answer.read())

    def tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """These are the samples from now on."""
        new = self.samples.with_suffix(".new")
        new.write_bytes(orjson.dumps({"samples": list(rows)}))
        new.rename(self.samples)

    def configure(self, document: Mapping[str, Any]) -> None:
        new = self.config.with_suffix(".new")
        new.write_text(yaml.safe_dump(dict(document)))
        new.rename(self.config)

    def metric(self, name: str) -> dict[str, float]:
        """Series of a metric by their labels as text, from the adapter's own page."""
        masters = self.plane.front_proxy_ca.leaf("front-proxy-client", file="scraper")
        page = self.direct(
            "/metrics",
            pair=masters,
            headers=(("X-Remote-User", "scraper"), ("X-Remote-Group", "system:masters")),
        )
        assert page.status == 200, page.body
        found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", page.body.decode(), re.MULTILINE)
        return {labels: float(value) for labels, value in found}


@contextmanager
def adapter(
    plane: ControlPlane,
    folder: Path,
    *flags: str,
    apis: Sequence[str] = API_SERVICES,
    config: Mapping[str, Any] | None = None,
    managed: bool = True,
    port: int | None = None,
    name: str = "adapter",
    as_service_account: bool = True,
) -> Iterator[Adapter]:
    """A replica that is ready; without ``managed``, ``flags`` say which certificate it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    samples, written = folder / "samples.json", folder / "adapter.yaml"
    port = port or free_port()
    document = {"sources": [{"type": "file", "path": str(samples)}], **(config or {})}
    written.write_text(yaml.safe_dump(document))
    kubeconfig = (
        plane.service_account_kubeconfig(NAMESPACE, NAME)
        if as_service_account
        else plane.kubeconfig
    )
    command = [
        *(sys.executable, "-m", "metrics_adapter"),
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--kubeconfig={kubeconfig}",
        f"--config={written}",
        f"--audit-log-path={folder / 'audit.log'}",
        f"--service={NAMESPACE}/{NAME}",
        *([f"--managed-certificate-secret={NAMESPACE}/{SECRET}"] if managed else []),
        *flags,
    ]
    spawner = Spawner()
    process = Process(
        name,
        command,
        logs=folder,
        spawner=spawner,
        env={"COVERAGE_PROCESS_START": "", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    made = Adapter(plane, folder, port, process, samples, written)
    made.tell([])
    try:
        made.start()
        yield made
    finally:
        process.stop(grace_s=0)
        spawner.close()


def install(plane: ControlPlane) -> None:
    """The namespace, rights and Secret, from the manifests as they are."""
    plane.objects.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for file in ("serviceaccount.yaml", "rbac.yaml", "certificate.yaml"):
        plane.objects.apply(MANIFESTS / "metrics_adapter" / file)


def register(
    plane: ControlPlane, port: int, *, apis: Sequence[str] = API_SERVICES, ca: bytes = b""
) -> None:
    """The Service and the APIServices, reached on this machine instead of at pods."""
    plane.objects.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
    )
    for file in sorted((MANIFESTS / "apiservices").glob("[a-jl-z]*.yaml")):
        for document in documents(file):
            if document["kind"] == "APIService" and document["metadata"]["name"] in apis:
                document["spec"]["service"]["port"] = port
                if ca:
                    document["spec"]["caBundle"] = base64.b64encode(ca).decode()
                plane.objects.apply(document)


def unregister(plane: ControlPlane) -> None:
    for name in API_SERVICES:
        plane.objects.delete(
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": name},
            }
        )


@contextmanager
def installed(plane: ControlPlane, workdir: Path) -> Iterator[Adapter]:
    """An adapter as the manifests install it, and its APIs available through the aggregator."""
    install(plane)
    with adapter(plane, workdir) as made:
        register(plane, made.port)
        made.available_after = wait_available(plane, within_s=10)
        yield made
    unregister(plane)


def available(plane: ControlPlane, apis: Sequence[str] = API_SERVICES) -> dict[str, str]:
    """What the API server says of each APIService: True, False, or why."""
    said = {}
    for name in apis:
        found = plane.objects.get("apiregistration.k8s.io/v1", "APIService", name) or {}
        conditions = found.get("status", {}).get("conditions") or [{}]
        said[name] = conditions[0].get("status", "")
    return said


def wait_available(
    plane: ControlPlane, *, within_s: float, apis: Sequence[str] = API_SERVICES
) -> float:
    """Seconds until all are."""
    clock = SystemClock()
    began = clock.now()
    wait_until(
        lambda: set(available(plane, apis).values()) == {"True"},
        within_s=within_s,
        what="every APIService is available",
    )
    return clock.now() - began


def raw(plane: ControlPlane, path: str) -> Any:
    """As ``kubectl get --raw``: through the aggregator. Raises ApiError."""
    return plane.objects.api.request("GET", path)


def master(plane: ControlPlane) -> KeyPair:
    """A certificate of somebody who may do everything."""
    return plane.client_ca.leaf("asker", groups=["system:masters"], file="asker")


def as_accepted(plane: ControlPlane, path: str, accept: str) -> Any:
    """A document of the API server in the shape that is asked for."""
    connection = http.client.HTTPSConnection(
        plane.url.removeprefix("https://"), timeout=10, context=tls_context(master(plane))
    )
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Accept": accept})
        return orjson.loads(connection.getresponse().read())


def custom(namespace: str, *rest: str, version: str = "v1beta2") -> str:
    """The path of a custom metric."""
    parts = [quote(part, safe="") for part in (namespace, *rest)]
    return f"/apis/{CUSTOM}/{version}/namespaces/{'/'.join(parts)}"


def serves(plane: ControlPlane, path: str) -> bool:
    """Whether a GET through the aggregator is answered with values."""
    try:
        return bool(raw(plane, path)["items"])
    except (ApiError, urllib3.exceptions.HTTPError):
        return False


def tls_context(pair: KeyPair | None = None) -> ssl.SSLContext:
    """A client's, that checks nothing of the server."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context
