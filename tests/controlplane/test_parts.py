"""What the control plane is made of, without starting one: recipes, keys, processes, ports."""

from __future__ import annotations

import datetime
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from tests.controlplane import build, gobuild
from tests.controlplane.objects import documents
from tests.controlplane.pki import Authority
from tests.controlplane.processes import HeldPorts, Process, ProcessFailed, Spawner
from tests.controlplane.recipes import ISTIO, KUBERNETES, Recipe


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    spawner = Spawner()
    yield spawner
    spawner.close()


def sleeper(
    folder: Path, spawner: Spawner, program: str = "import time; time.sleep(60)"
) -> Process:
    return Process("sleeper", [sys.executable, "-c", program], logs=folder, spawner=spawner)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(KUBERNETES, version="v1.36.2"), id="version"),
        pytest.param(replace(KUBERNETES, ldflags=()), id="flags"),
        pytest.param(replace(KUBERNETES, commands={"etcd": "e"}), id="commands"),
        pytest.param(ISTIO, id="another module"),
    ],
)
def test_a_changed_recipe_is_built_anew(changed: Recipe) -> None:
    assert changed.key() != KUBERNETES.key()


def test_what_is_cached_needs_no_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert gobuild.cached(KUBERNETES) is None
    folder = tmp_path / "loadstar" / "built" / KUBERNETES.key()
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", "")
    assert build.binaries(KUBERNETES) == folder


@pytest.mark.parametrize(
    ("environment", "required"),
    [
        pytest.param({}, False, id="at home"),
        pytest.param({"CI": "true"}, True, id="in CI"),
        pytest.param({"LOADSTAR_REQUIRE_CONTROLPLANE": "1"}, True, id="asked for"),
    ],
)
def test_only_ci_insists_on_a_control_plane(
    environment: dict[str, str], required: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CI", "LOADSTAR_REQUIRE_CONTROLPLANE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert build.required() is required


def test_an_unknown_thing_to_build_is_refused() -> None:
    assert build.main(["kubernets"]) == 2


def test_a_leaf_is_trusted_by_its_own_authority_only(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    leaf = ours.leaf("server", hosts=["localhost", "127.0.0.1"])
    assert leaf.key.stat().st_mode & 0o077 == 0
    assert _handshake(leaf.cert, leaf.key, ours.cert) == "trusted"
    assert _handshake(leaf.cert, leaf.key, other.cert) == "refused"


def test_a_leaf_can_be_over_already(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    leaf = ours.leaf("server", hosts=["localhost"], expires_in=-datetime.timedelta(hours=1))
    assert _handshake(leaf.cert, leaf.key, ours.cert) == "refused"


def test_a_user_is_a_name_and_groups(tmp_path: Path) -> None:
    leaf = Authority(tmp_path, "ours").leaf("alice", groups=["dev", "ops"])
    subject = x509.load_pem_x509_certificate(leaf.cert.read_bytes()).subject
    assert [(a.rfc4514_attribute_name, a.value) for a in subject] == [
        ("O", "dev"),
        ("O", "ops"),
        ("CN", "alice"),
    ]


def _handshake(cert: Path, key: Path, trusted: Path) -> str:
    """A TLS handshake in memory, as "localhost": whether the client trusts the server."""
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(cert, key)
    client_tls = ssl.create_default_context(cafile=str(trusted))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_tls.wrap_bio(down, up, server_hostname="localhost")
    server = server_tls.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return "refused"
    return "trusted" if client.getpeercert() else "refused"


def test_a_process_stops_at_once_even_when_it_is_paused(tmp_path: Path, spawner: Spawner) -> None:
    process = sleeper(tmp_path, spawner)
    process.start()
    process.pause()
    process.stop(grace_s=5)
    assert not process.runs


def test_a_process_that_ends_early_is_named_with_the_end_of_its_log(
    tmp_path: Path, spawner: Spawner
) -> None:
    process = sleeper(tmp_path, spawner, "import sys; sys.exit('no such port')")
    process.start()
    with pytest.raises(ProcessFailed, match=r"sleeper ended with 1(.|\n)*no such port"):
        process.wait_ready(lambda: False, within_s=10)
    process.stop(grace_s=0)


def test_a_process_that_is_never_ready_is_not_waited_for_long(
    tmp_path: Path, spawner: Spawner
) -> None:
    process = sleeper(tmp_path, spawner)
    process.start()
    with pytest.raises(ProcessFailed, match=r"not within 0\.1 s: sleeper is ready"):
        process.wait_ready(lambda: False, within_s=0.1)
    process.stop(grace_s=0)


def test_a_held_port_is_given_to_nobody_but_who_shares_it() -> None:
    held = HeldPorts(1)
    try:
        (port,) = held.ports
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
            caller.connect(("127.0.0.1", port))
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind(("127.0.0.1", port))
            server.listen()
            socket.create_connection(("127.0.0.1", port)).close()
    finally:
        held.close()


def test_documents_come_in_the_order_in_which_they_can_be_applied(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: ConfigMap\n---\n---\nkind: Namespace\n")
    listed = {"kind": "List", "items": [{"kind": "CustomResourceDefinition"}]}
    assert [each["kind"] for each in documents(tmp_path)] == ["Namespace", "ConfigMap"]
    assert [each["kind"] for each in documents([{"kind": "Pod"}, listed])] == [
        "CustomResourceDefinition",
        "Pod",
    ]
