"""Certificates and CAs change while requests go on, and not one of them fails.

A control plane of its own: the front proxy's certificate and CA are files of the API server.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from loadstar.clock import SystemClock
from tests.controlplane.api import Api
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.pki import Authority, KeyPair
from tests.controlplane.processes import wait_until
from tests.integration.adapter_lab import (
    NAME,
    NAMESPACE,
    SECRET,
    Adapter,
    adapter,
    custom,
    external,
    install,
    master,
    register,
    sample,
    serves,
    unregister,
    wait_available,
)

pytestmark = [pytest.mark.controlplane, pytest.mark.slow, pytest.mark.timeout(300)]

CALLERS = 4
PAUSE_SECONDS = 0.02
PROXY_RELOAD_SECONDS = 10.0
"""The API server sees new files of its own within seconds."""
HOST = f"{NAME}.{NAMESPACE}.svc"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane.started(tmp_path_factory.mktemp("plane")) as made:
        install(made)
        yield made


class Load:
    """Callers that ask through the aggregator without end, and remember what went wrong."""

    def __init__(self, plane: ControlPlane, path: str) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._plane = plane
        self._path = path
        self._pair = master(plane)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with Api(self._plane.url, self._plane.client_ca.cert, pair=self._pair) as api:
            while not self._stop.wait(PAUSE_SECONDS):
                try:
                    if api.request("GET", self._path)["items"]:
                        self.answered += 1
                    else:
                        self.failed.append("an empty list")
                except Exception as error:
                    self.failed.append(repr(error))

    def goes_on(self) -> None:
        """A hundred more answers."""
        target = self.answered + 100
        wait_until(lambda: self.answered >= target, within_s=30, what="answers go on")


def replaced(target: Path, content: bytes) -> None:
    new = target.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, target)


def told(made: Adapter) -> str:
    """Give it something to say; the path that asks for it."""
    made.tell([sample("Namespace", "lab", "lab", "queue_depth", 3), external("lab", "x", 1)])
    path = custom("lab", "metrics", "queue_depth")
    wait_until(lambda: serves(made.plane, path), within_s=10, what="the sample is there")
    return path


def serial(made: Adapter) -> int:
    """Of the certificate that it shows now."""
    pem = ssl.get_server_certificate(("127.0.0.1", made.port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def test_a_managed_authority_rotates_by_itself(plane: ControlPlane, tmp_path: Path) -> None:
    """Lives of half a minute instead of a year: two whole generations pass under load."""
    lives = ("--managed-ca-lifetime=30s", "--managed-certificate-lifetime=12s")
    with adapter(plane, tmp_path, *lives) as made:
        register(plane, made.port)
        wait_available(plane, within_s=10)
        path = told(made)
        shown, authorities = set(), set()
        with Load(plane, path) as load:
            clock = SystemClock()
            until = clock.now() + 65
            while clock.now() < until:
                load.goes_on()
                shown.add(serial(made))
                secret = plane.objects.get("v1", "Secret", SECRET, NAMESPACE)
                assert secret is not None
                authorities.add(secret["data"]["ca.crt"])
        assert load.failed == []
        assert len(authorities) >= 3
        assert len(shown) >= 5
        assert load.answered > 1000
    unregister(plane)


def test_certificate_files_and_their_ca_are_replaced(plane: ControlPlane, tmp_path: Path) -> None:
    """As cert-manager does it: the new CA is told first, then the certificate is swapped."""
    old, new = Authority(tmp_path / "old", "serving-1"), Authority(tmp_path / "new", "serving-2")
    first, second = old.leaf("adapter", hosts=[HOST]), new.leaf("adapter", hosts=[HOST])
    shown = KeyPair(tmp_path / "tls.crt", tmp_path / "tls.key")
    replaced(shown.cert, first.cert.read_bytes())
    replaced(shown.key, first.key.read_bytes())
    flags = (f"--tls-cert-file={shown.cert}", f"--tls-private-key-file={shown.key}")
    with adapter(plane, tmp_path / "run", *flags, managed=False) as made:
        register(plane, made.port, ca=old.cert.read_bytes())
        wait_available(plane, within_s=10)
        path = told(made)
        with Load(plane, path) as load:
            load.goes_on()
            register(plane, made.port, ca=old.cert.read_bytes() + new.cert.read_bytes())
            load.goes_on()
            before = serial(made)
            replaced(shown.key, second.key.read_bytes())
            replaced(shown.cert, second.cert.read_bytes())
            wait_until(lambda: serial(made) != before, within_s=5, what="the new one is shown")
            load.goes_on()
            register(plane, made.port, ca=new.cert.read_bytes())
            load.goes_on()
            load.goes_on()
        assert load.failed == []
    unregister(plane)


def test_the_front_proxys_certificate_and_ca_are_replaced(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """The adapter hears of the new CA from the cluster's ConfigMap, and takes its holders."""
    places = plane.places
    old_ca = places.front_proxy_ca.read_bytes()
    new = Authority(tmp_path / "new", "front-proxy-2")
    pair = new.leaf("front-proxy-client")
    with adapter(plane, tmp_path / "run") as made:
        register(plane, made.port)
        wait_available(plane, within_s=10)
        path = told(made)

        assert not speaks(made, path, pair)
        with Load(plane, path) as load:
            load.goes_on()
            replaced(places.front_proxy_ca, old_ca + new.cert.read_bytes())
            wait_until(
                lambda: speaks(made, path, pair),
                within_s=90,
                what="the adapter believes the new CA",
            )
            load.goes_on()
            replaced(places.front_proxy.key, pair.key.read_bytes())
            replaced(places.front_proxy.cert, pair.cert.read_bytes())
            clock = SystemClock()
            until = clock.now() + PROXY_RELOAD_SECONDS
            while clock.now() < until:
                load.goes_on()
        assert load.failed == []
    unregister(plane)


def test_an_old_front_proxy_ca_is_dropped_under_load(plane: ControlPlane, tmp_path: Path) -> None:
    """Every connection of the old proxy's goes, and no request with it: so the new one is used."""
    places = plane.places
    before, next_ca = places.front_proxy_ca.read_bytes(), Authority(tmp_path / "next", "next")
    pair = next_ca.leaf("front-proxy-client")
    believed = tmp_path / "proxies.crt"
    replaced(believed, before)
    flags = (
        f"--requestheader-client-ca-file={believed}",
        "--requestheader-allowed-names=front-proxy-client",
    )
    with adapter(plane, tmp_path / "run", *flags) as made:
        register(plane, made.port)
        wait_available(plane, within_s=10)
        path = told(made)
        with Load(plane, path) as load:
            load.goes_on()
            replaced(believed, before + next_ca.cert.read_bytes())
            wait_until(lambda: speaks(made, path, pair), within_s=5, what="both are believed")
            replaced(places.front_proxy_ca, before + next_ca.cert.read_bytes())
            replaced(places.front_proxy.key, pair.key.read_bytes())
            replaced(places.front_proxy.cert, pair.cert.read_bytes())
            clock = SystemClock()
            until = clock.now() + PROXY_RELOAD_SECONDS
            while clock.now() < until:
                load.goes_on()
            replaced(believed, next_ca.cert.read_bytes())
            old = plane.front_proxy_ca.leaf("front-proxy-client", file="old-proxy")
            wait_until(lambda: not speaks(made, path, old), within_s=5, what="the old is out")
            load.goes_on()
            load.goes_on()
        assert load.failed == []
    unregister(plane)


def speaks(made: Adapter, path: str, pair: KeyPair) -> bool:
    """Whether the holder of ``pair`` is believed to be the front proxy."""
    as_root = (("X-Remote-User", "root"), ("X-Remote-Group", "system:masters"))
    try:
        return made.direct(path, pair=pair, headers=as_root).status == 200
    except OSError:
        return False


def test_a_client_ca_given_by_flag_is_taken_and_dropped(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """Of two CAs each is good while it is in the file; who came with one that went is out."""
    first, second = Authority(tmp_path / "1", "one"), Authority(tmp_path / "2", "two")
    trusted = tmp_path / "clients.crt"
    replaced(trusted, first.cert.read_bytes())
    one = first.leaf("alice", groups=["system:masters"])
    two = second.leaf("alice", groups=["system:masters"])
    with adapter(plane, tmp_path / "run", f"--client-ca-file={trusted}", managed=False) as made:

        def works(pair: KeyPair) -> bool:
            try:
                return made.direct("/version", pair=pair).status == 200
            except OSError:
                return False

        assert (works(one), works(two)) == (True, False)
        replaced(trusted, first.cert.read_bytes() + second.cert.read_bytes())
        wait_until(lambda: works(two), within_s=5, what="the second is believed")
        assert works(one)
        replaced(trusted, second.cert.read_bytes())
        wait_until(lambda: not works(one), within_s=5, what="the first is not any more")
        assert works(two)
        replaced(trusted, b"no certificates at all")
        still = SystemClock().now() + 3
        wait_until(lambda: SystemClock().now() > still, within_s=5, what="time for it to be read")
        assert works(two)


def test_two_replicas_share_one_authority(plane: ControlPlane, tmp_path: Path) -> None:
    """Whichever is asked, the API server believes it."""
    with (
        adapter(plane, tmp_path / "a", name="a") as a,
        adapter(plane, tmp_path / "b", name="b") as b,
    ):
        for made in (a, b, a):
            register(plane, made.port)
            wait_available(plane, within_s=10)
            path = told(made)
            assert serves(plane, path)
        assert serial(a) != serial(b)
    unregister(plane)
