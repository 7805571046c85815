"""A real Envoy with the bootstrap that is shipped sends no request where its client says.

The picker is away and Envoy fails open: the one moment at which nobody else would look.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from load_tests.envoy import envoy_path
from tests.controlplane.processes import wait_until
from tests.manifests.rendered import MANIFESTS

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(60)]

DESTINATION = "x-gateway-destination-endpoint"
NO_UPSTREAM = {500, 503}


class Inside:
    """A server that no client should reach, and the headers of those who did."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(dict(self.headers))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Inside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """The one connection manager of the one listener."""
    (listener,) = bootstrap["static_resources"]["listeners"]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


@contextmanager
def envoy(folder: Path, *, strips: bool) -> Iterator[str]:
    """The shipped bootstrap on free ports, failing open to a picker that is not there; its URL."""
    bootstrap = yaml.safe_load((MANIFESTS / "envoy/standalone.yaml").read_text())
    port, admin = free_port(), free_port()
    (listener,) = bootstrap["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    bootstrap["admin"]["address"]["socket_address"]["port_value"] = admin
    options = manager(bootstrap)
    options["access_log"] = []
    options["http_filters"][0]["typed_config"]["failure_mode_allow"] = True
    picker = bootstrap["static_resources"]["clusters"][1]["load_assignment"]["endpoints"][0]
    picker["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] = free_port()
    if not strips:
        del options["early_header_mutation_extensions"]
    config = folder / "envoy.yaml"
    config.write_text(yaml.safe_dump(bootstrap))
    options_given = ("--disable-hot-restart", "--concurrency", "1")
    command = [str(envoy_path()), "-c", str(config), *options_given]
    with (folder / "envoy.log").open("wb") as log:
        child = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        wait_until(lambda: _ready(admin), within_s=20, what="Envoy is ready")
        yield f"http://127.0.0.1:{port}/"
    finally:
        child.terminate()
        child.wait(10)


def _ready(admin: int) -> bool:
    try:
        return (
            urllib3.request("GET", f"http://127.0.0.1:{admin}/ready", retries=False).status == 200
        )
    except urllib3.exceptions.HTTPError:
        return False


def ask(url: str, headers: dict[str, str]) -> int:
    return urllib3.request("GET", url, headers=headers, retries=False, timeout=20).status


def test_a_client_cannot_say_where_its_request_goes(tmp_path: Path) -> None:
    with Inside() as inside, envoy(tmp_path, strips=True) as url:
        assert ask(url, {DESTINATION: inside.address}) in NO_UPSTREAM
        assert ask(url, {DESTINATION.title(): inside.address}) in NO_UPSTREAM
        assert inside.seen == []


def test_without_the_stripping_it_could(tmp_path: Path) -> None:
    """Or the test above would prove nothing."""
    with Inside() as inside, envoy(tmp_path, strips=False) as url:
        assert ask(url, {DESTINATION: inside.address}) == 200
        assert len(inside.seen) == 1
