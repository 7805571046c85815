"""The port, over real TLS on loopback with a fake API server behind: what callers get."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from blockbuster import BlockBuster

from loadstar import tls
from loadstar.clock import SystemClock
from loadstar.kube.errors import Unreachable
from metrics_adapter.adapter_config import AdapterConfig
from metrics_adapter.api.audit import Audit, Event
from metrics_adapter.api.connections import Connections
from metrics_adapter.api.discovery import EVERY_API
from metrics_adapter.api.documents import Documents
from metrics_adapter.api.gate import Gate
from metrics_adapter.api.health import Health
from metrics_adapter.api.listener import listening
from metrics_adapter.api.rim import Limits, Rim
from metrics_adapter.metrics import Metrics
from metrics_adapter.query import View
from metrics_adapter.security.authorize import AccessReviews
from metrics_adapter.security.serving import Serving, openssl_names, shaped
from metrics_adapter.security.token_reviews import TokenReviews
from metrics_adapter.security.trust import ProxyHeaders, Trust, authority
from metrics_adapter.sources.file_rows import published
from metrics_adapter.store import Store
from tests.controlplane.pki import Authority, KeyPair
from tests.metrics_adapter.security.builders import ApiServer

QUEUE = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/lab/metrics/queue_depth"
SAMPLES = {
    "samples": [
        {
            "object": {"kind": "Namespace", "name": "lab"},
            "metric": "queue_depth",
            "value": 12,
            "timestamp": "now",
        }
    ]
}
HPA = ("X-Remote-User: hpa", "X-Remote-Group: system:authenticated")


class Told(Audit):
    """Keeps events instead of writing them."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


@dataclass
class Server:
    """A port that is open, and what is behind it."""

    port: int
    keys: Keys
    api: ApiServer
    serving: Serving
    health: Health
    connections: Connections
    audit: Told
    view: list[Callable[[], View]]

    async def connect(self, pair: KeyPair | None = None) -> Client:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if pair is not None:
            await asyncio.to_thread(context.load_cert_chain, pair.cert, pair.key)
        streams = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        return Client(*streams)

    async def ask(
        self, path: str, *headers: str, method: str = "GET", pair: KeyPair | None = None
    ) -> Said:
        """As the front proxy unless ``pair`` says otherwise, on a connection of its own."""
        client = await self.connect(pair or self.keys.proxy)
        try:
            return await client.ask(path, *headers, method=method)
        finally:
            client.close()


@dataclass
class Said:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)


class Client:
    """One kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, path: str, *headers: str, method: str = "GET") -> Said:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]
        self._writer.write("\r\n".join(lines).encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")[:-2]
        said = dict(line.split(": ", 1) for line in rest)
        length = 0 if method == "HEAD" else int(said.get("Content-Length", 0))
        status = int(first.split()[1])
        return Said(status, said, await self._reader.readexactly(0 if status == 304 else length))

    async def ended(self) -> bool:
        """Whether the other side closes, soon, without a word."""
        try:
            async with asyncio.timeout(5):
                return await self._reader.read() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._writer.transport.abort()


@pytest.fixture(autouse=True)
def _a_key_in_memory_is_no_file(_no_blocking_in_the_loop: BlockBuster) -> None:
    """TLS takes keys from descriptors only; writing to one that is memory waits for nobody."""
    _no_blocking_in_the_loop.functions["os.write"].can_block_in("loadstar/tls.py", {"use"})


@dataclass(frozen=True)
class Keys:
    """Made before any loop runs: files block."""

    proxies: Authority
    proxy: KeyPair
    fresh: Authority
    """The next CA of the front proxy."""
    fresh_proxy: KeyPair

    @property
    def pem(self) -> bytes:
        return self.proxies.cert.read_bytes()

    @property
    def fresh_pem(self) -> bytes:
        return self.fresh.cert.read_bytes()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    proxies, fresh = Authority(folder, "proxies"), Authority(folder / "fresh", "fresh")
    name = "front-proxy-client"
    return Keys(proxies, proxies.leaf(name), fresh, fresh.leaf(name))


@contextlib.asynccontextmanager
async def serving(keys: Keys, limits: Limits | None = None) -> AsyncIterator[Server]:
    clock, metrics, audit = SystemClock(), Metrics(), Told()
    trust = Trust(
        proxy=authority(await asyncio.to_thread(lambda: keys.pem), "proxies"),
        headers=ProxyHeaders(allowed_names=("front-proxy-client",)),
    )
    api = ApiServer(allows=lambda spec: spec["user"] == "hpa")
    shown = Serving(tls.self_signed(clock.wall()), trust, shaped(ssl.TLSVersion.TLSv1_2, ""))

    def ignored(kind: str, code: str, seconds: float) -> None: ...

    gate = Gate(
        lambda: shown.trust,
        TokenReviews(api, clock, key=b"k", seconds=0, audiences=(), measure=ignored),
        AccessReviews(api, clock, paths=(), allow_seconds=10, deny_seconds=10, measure=ignored),
        metrics,
    )
    store = Store(AdapterConfig())
    view: list[Callable[[], View]] = [store.view]
    connections, health = Connections(most=20), Health()
    shown.on_trust(lambda: connections.close_idle(shown.trusts))
    rim = Rim(
        documents=Documents(lambda: view[0](), EVERY_API, metrics.registry, "0.0.1"),
        gate=gate,
        health=health,
        connections=connections,
        metrics=metrics,
        audit=audit,
        clock=clock,
        rng=random.Random(1),
        trusts=shown.trusts,
        limits=limits or Limits(),
    )
    async with (
        _known(store, clock.wall()),
        listening(
            rim, connections, shown.context, address="127.0.0.1", port=0, shared=False
        ) as port,
    ):
        yield Server(port, keys, api, shown, health, connections, audit, view)


@contextlib.asynccontextmanager
async def _known(store: Store, wall: float) -> AsyncIterator[None]:
    with store.slot("samples") as slot:
        slot.publish(published(orjson.dumps(SAMPLES)), wall)
        yield


@pytest.fixture
async def server(keys: Keys) -> AsyncIterator[Server]:
    async with serving(keys) as made:
        yield made


async def test_a_value_for_who_may(server: Server) -> None:
    said = await server.ask(QUEUE, *HPA)
    (item,) = said.document["items"]
    assert (said.status, item["value"]) == (200, "12")
    assert said.headers["Content-Type"] == "application/json"
    assert said.headers["Cache-Control"] == "no-cache, private"
    assert said.headers["Server"] == "loadstar"
    (event,) = server.audit.events
    assert event.user is not None
    assert (event.user.name, event.decision, event.code) == ("hpa", "allow", 200)
    assert event.audit_id == said.headers["Audit-Id"]


async def test_a_long_list_is_packed_for_who_can_unpack_it(server: Server) -> None:
    rows = [
        {
            "object": {"kind": "Pod", "namespace": "lab", "name": f"vllm-{index}"},
            "metric": "queue_depth",
            "value": index,
            "timestamp": "now",
        }
        for index in range(1000)
    ]
    store = Store(AdapterConfig())
    with store.slot("file") as slot:
        slot.publish(published(orjson.dumps({"samples": rows})), 0.0)
        server.view[0] = store.view
        pods = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/lab/pods/*/queue_depth"
        plain = await server.ask(pods, *HPA)
        packed = await server.ask(pods, "Accept-Encoding: gzip", *HPA)
    assert (plain.status, packed.headers["Content-Encoding"]) == (200, "gzip")
    items = orjson.loads(gzip.decompress(packed.body))["items"]
    assert [item["value"] for item in items] == [i["value"] for i in plain.document["items"]]
    assert len(items) == 1000


async def test_who_may_not_is_told_and_noted(server: Server) -> None:
    said = await server.ask(QUEUE, "X-Remote-User: bob", "Audit-Id: abc")
    assert (said.status, said.document["reason"]) == (403, "Forbidden")
    (event,) = server.audit.events
    assert (event.audit_id, event.decision, event.reason) == ("abc", "forbid", "as told")


async def test_an_audit_id_that_would_forge_lines_is_replaced(server: Server) -> None:
    said = await server.ask(QUEUE, "Audit-Id: " + "a" * 100, *HPA)
    assert said.headers["Audit-Id"] != "a" * 100


async def test_when_rights_cannot_be_told_nobody_is_let_in(server: Server) -> None:
    server.api.errors = [Unreachable("refused")] * 3
    said = await server.ask(QUEUE, *HPA)
    assert (said.status, said.document["reason"]) == (500, "InternalError")
    assert (await server.ask(QUEUE, *HPA)).status == 200


async def test_an_answer_that_takes_too_long_is_a_timeout(keys: Keys) -> None:
    async with serving(keys, Limits(deadline_seconds=0.1)) as server:

        async def never(spec: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(30)
            return {}

        server.api.subject_access_review = never  # type: ignore[method-assign]
        said = await server.ask(QUEUE, *HPA)
        assert (said.status, said.document["reason"]) == (504, "Timeout")


async def test_more_at_once_than_allowed_are_turned_away(keys: Keys) -> None:
    async with serving(keys, Limits(at_once=1)) as server:
        gone = asyncio.Event()

        async def slow(spec: dict[str, Any]) -> dict[str, Any]:
            await gone.wait()
            return {"allowed": True}

        server.api.subject_access_review = slow  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            first = group.create_task(server.ask(QUEUE, *HPA))
            await asyncio.sleep(0.2)
            second = await server.ask(QUEUE, *HPA)
            probe = await server.ask("/livez")
            gone.set()
        assert (first.result().status, second.status, probe.status) == (200, 429, 200)
        assert second.headers["Retry-After"] == "1"


async def test_what_fails_inside_is_a_status_that_tells_nothing(server: Server) -> None:
    def broken() -> View:
        raise RuntimeError("the secret of the house")

    server.view[0] = broken
    said = await server.ask(QUEUE, *HPA)
    assert (said.status, said.document["reason"]) == (500, "InternalError")
    assert b"secret" not in said.body


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 200),
        ("/version", "GET", 200),
        ("/metrics", "GET", 200),
        ("/apis", "GET", 200),
        ("/apis/custom.metrics.k8s.io", "GET", 200),
        ("/apis/custom.metrics.k8s.io/v1beta2/", "GET", 200),
        ("/openapi/v2", "GET", 200),
        ("/openapi/v3", "GET", 200),
        ("/openapi/v3/apis/custom.metrics.k8s.io/v1beta2", "GET", 200),
        ("/openapi/v3/apis/apps/v1", "GET", 404),
        (QUEUE, "HEAD", 200),
        (QUEUE, "PUT", 405),
        (f"{QUEUE}?limit=x", "GET", 400),
        ("/apis/external.metrics.k8s.io/v1beta1/namespaces/lab/x?watch=true", "GET", 405),
        ("/apis/apps/v1/namespaces/lab/deployments", "GET", 404),
        ("/nowhere", "GET", 404),
        ("/%zz", "GET", 400),
        ("/a//b", "GET", 400),
        ("/apis/custom.metrics.k8s.io/v1beta2/namespaces/lab/pods/%2E%2E/x", "GET", 400),
        ("/healthz/none", "GET", 404),
    ],
)
async def test_paths(server: Server, path: str, method: str, status: int) -> None:
    assert (await server.ask(path, *HPA, method=method)).status == status


async def test_discovery_in_both_shapes_and_unchanged(server: Server) -> None:
    kind = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1"):
        accept = kind.format(version)
        said = await server.ask("/apis", *HPA, f"Accept: {accept},application/json")
        assert said.document["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        assert (said.headers["Content-Type"], said.headers["Vary"]) == (accept, "Accept")
        again = await server.ask(
            "/apis", *HPA, f"Accept: {accept}", f"If-None-Match: {said.headers['ETag']}"
        )
        assert (again.status, again.body) == (304, b"")
    plain = await server.ask("/apis", *HPA, "Accept: application/json")
    assert plain.document["kind"] == "APIGroupList"


async def test_json_is_for_everybody_who_does_not_exclude_it(server: Server) -> None:
    protobuf = "application/vnd.kubernetes.protobuf"
    for accept in (f"{protobuf}, */*", f"{protobuf},application/json", "*/*", ""):
        assert (await server.ask(QUEUE, *HPA, f"Accept: {accept}")).status == 200
    assert (await server.ask(QUEUE, *HPA, f"Accept: {protobuf}")).status == 406


async def test_a_user_of_many_groups_gets_in(server: Server) -> None:
    groups = [f"X-Remote-Group: group-{number}" for number in range(500)]
    assert (await server.ask(QUEUE, "X-Remote-User: hpa", *groups)).status == 200
    assert len(server.api.asked[-1]["groups"]) == 501


async def test_headers_without_end_are_refused(server: Server) -> None:
    many = [f"X-{number}: 1" for number in range(2000)]
    assert (await server.ask(QUEUE, *many)).status == 400
    assert (await server.ask(QUEUE, "X-Long: " + "x" * 70_000)).status == 400


async def test_connections_without_end_are_refused(server: Server) -> None:
    clients = [await server.connect() for _ in range(20)]
    with contextlib.suppress(OSError):
        one_more = await server.connect()
        assert await one_more.ended()
        one_more.close()
    assert server.connections.refused == 1
    for client in clients:
        client.close()


async def test_trust_that_changes_closes_what_rests_on_the_old(server: Server, keys: Keys) -> None:
    """Idle connections of a CA that has gone end unanswered; the new CA's are served at once."""
    before = await server.connect(keys.proxy)
    assert (await before.ask(QUEUE, *HPA)).status == 200
    fresh = authority(await asyncio.to_thread(lambda: keys.fresh_pem), "fresh")
    server.serving.believe(Trust(proxy=fresh, headers=server.serving.trust.headers))
    assert await before.ended()
    assert (await server.ask(QUEUE, *HPA, pair=keys.fresh_proxy)).status == 200
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await server.ask(QUEUE, *HPA)  # the old CA's holder


async def test_a_request_under_way_is_finished_and_is_the_last_of_its_ca(
    server: Server, keys: Keys
) -> None:
    asked, told = asyncio.Event(), asyncio.Event()

    async def slow(spec: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        await told.wait()
        return {"allowed": True}

    server.api.subject_access_review = slow  # type: ignore[method-assign]
    kept = await server.connect(keys.proxy)
    fresh = authority(await asyncio.to_thread(lambda: keys.fresh_pem), "fresh")
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(kept.ask(QUEUE, *HPA))
        await asked.wait()
        server.serving.believe(Trust(proxy=fresh, headers=server.serving.trust.headers))
        told.set()
    assert answer.result().status == 200
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await kept.ask(QUEUE, *HPA)
    kept.close()


async def test_both_cas_during_a_rotation_keep_every_connection(server: Server, keys: Keys) -> None:
    kept = await server.connect(keys.proxy)
    await kept.ask(QUEUE, *HPA)
    both = await asyncio.to_thread(lambda: keys.pem + keys.fresh_pem)
    server.serving.believe(
        Trust(proxy=authority(both, "both"), headers=server.serving.trust.headers)
    )
    assert (await kept.ask(QUEUE, *HPA)).status == 200
    kept.close()


async def test_a_new_certificate_is_shown_from_the_next_handshake_on(
    server: Server, keys: Keys
) -> None:
    async def shown() -> bytes:
        client = await server.connect()
        found: bytes = client._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        client.close()
        return found

    kept, first = await server.connect(keys.proxy), await shown()
    server.serving.renew(tls.self_signed(SystemClock().wall()))
    assert await shown() != first
    assert (await kept.ask(QUEUE, *HPA)).status == 200
    kept.close()


async def test_leaving_says_so_first(server: Server) -> None:
    assert (await server.ask("/readyz")).body == b"ok"
    server.health.leaving = True
    said = await server.ask("/readyz")
    assert said.status == 500
    assert (await server.ask("/readyz?exclude=ping&exclude=shutdown")).body == b"ok"
    assert b"[-]shutdown failed: process is shutting down\n" in said.body
    assert (await server.ask("/livez")).status == 200
    answered = await server.ask(QUEUE, *HPA)
    assert (answered.status, answered.headers["Connection"]) == (200, "close")


def test_health_names_its_checks() -> None:
    health = Health(ready={"certificate": lambda: "none yet"})
    assert health.answer("livez", "", verbose=False, exclude=()) == (200, "ok")
    assert health.answer("readyz", "", verbose=False, exclude=()) == (
        500,
        "[+]ping ok\n[-]certificate failed: none yet\n[+]shutdown ok\nreadyz check failed\n",
    )
    assert health.answer("readyz", "ping", verbose=True, exclude=()) == (
        200,
        "[+]ping ok\nreadyz check passed\n",
    )
    assert health.answer("readyz", "", verbose=False, exclude=("certificate",)) == (200, "ok")


def test_go_names_of_suites() -> None:
    assert openssl_names(()) == ""
    names = ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256")
    assert openssl_names(names) == "ECDHE-ECDSA-AES128-GCM-SHA256"
    for poly in ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "…_SHA256"):
        full = poly.replace("…", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305")
        assert openssl_names((full,)) == "ECDHE-RSA-CHACHA20-POLY1305"
    with pytest.raises(ValueError, match="TLS_RSA_WITH_RC4_128_SHA is not one of"):
        openssl_names(("TLS_RSA_WITH_RC4_128_SHA",))
