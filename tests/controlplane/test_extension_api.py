"""The API server hands a group to an extension server, and says who asks under its own name."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.controlplane.api import Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until

pytestmark = pytest.mark.controlplane

ASKED = "/apis/extension.loadstar.test/v1"


class _Extension(http.server.BaseHTTPRequestHandler):
    """Answers with who the API server says is asking, and keeps what it was told."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer: Object = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": "extension.loadstar.test/v1",
            "resources": [],
            "user": self.headers.get("X-Remote-User"),
            "groups": self.headers.get_all("X-Remote-Group"),
            "proxy": _common_name(self.connection),
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test reads the answers."""


def _common_name(connection: object) -> object:
    assert isinstance(connection, ssl.SSLSocket)
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    subject = x509.load_der_x509_certificate(der).subject
    return subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


@contextmanager
def extension_server(control_plane: ControlPlane, host: str) -> Iterator[int]:
    """Serves ``_Extension`` over TLS as ``host``, and only to the API server; its port."""
    pair = control_plane.client_ca.leaf("extension", hosts=[host])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.cert, pair.key)
    tls.load_verify_locations(control_plane.front_proxy_ca.cert)
    tls.verify_mode = ssl.CERT_REQUIRED
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Extension) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_registered_api_is_asked_by_the_front_proxy_in_the_name_of_the_user(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    objects = control_plane.objects
    with extension_server(control_plane, f"extension.{kube_namespace}.svc") as port:
        service = control_plane.register_api(
            "extension.loadstar.test",
            "v1",
            port=port,
            ca=control_plane.client_ca.cert,
            namespace=kube_namespace,
        )
        objects.wait_condition(service, "Available")
        objects.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": kube_namespace},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "system:discovery",
                },
                "subjects": [
                    {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}
                ],
            }
        )
        alice = control_plane.objects_of("alice", ["dev"])
        wait_until(lambda: alice.api.answers(ASKED), within_s=15, what="alice may ask")
        answer = alice.api.request("GET", ASKED)
        assert (answer["user"], answer["proxy"]) == ("alice", "front-proxy-client")
        assert set(answer["groups"]) == {"dev", "system:authenticated"}
        objects.delete(service, wait=True)
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding"}
        objects.delete({**binding, "metadata": {"name": kube_namespace}})
