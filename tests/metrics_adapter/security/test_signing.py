"""Our own certificate authority: at every moment every replica is believed."""

from __future__ import annotations

import asyncio
import base64
import datetime
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given, settings
from hypothesis import strategies as st

from loadstar.kube.errors import Conflict, NotFound, Unreachable
from loadstar.kube.resources import Resource
from loadstar.tls import KeyPair
from metrics_adapter.security import signing
from metrics_adapter.security.managed import Managed, Names
from metrics_adapter.security.signing import Authorities
from tests.fakes.clock import ManualClock

DAY = 86400.0
LIFE = 30 * DAY
START = 1_700_000_000.0
NAMES = Names(("ls", "ca"), ("ls", "adapter"), ("v1beta1.x", "v1beta2.x"))


def believed(pair: KeyPair, bundle: bytes, wall: float) -> bool:
    """As the API server checks: the Service's name, by the bundle, now."""
    roots = x509.load_pem_x509_certificates(bundle)
    moment = datetime.datetime.fromtimestamp(wall, datetime.UTC)
    verifier = (
        PolicyBuilder()
        .store(Store(roots))
        .time(moment)
        .build_server_verifier(x509.DNSName("adapter.ls.svc"))
    )
    try:
        verifier.verify(x509.load_pem_x509_certificate(pair.certificate), [])
    except VerificationError:
        return False
    return True


def test_what_is_written_is_read_again() -> None:
    one = signing.plan(None, START, LIFE, published=False)
    two = signing.plan(one, one.current.renew_at, LIFE, published=True)
    assert two.next is not None
    assert signing.read(signing.write(two)) == two
    assert signing.read({}) is None
    with pytest.raises(ValueError, match="PEM"):
        signing.read({"ca.crt": b"no", "ca.key": b"no"})


def test_a_new_authority_is_announced_before_it_signs() -> None:
    first = signing.plan(None, START, LIFE, published=False)
    due = first.current.renew_at
    assert signing.plan(first, due - 1, LIFE, published=True) is first
    announced = signing.plan(first, due, LIFE, published=True)
    assert (announced.current, announced.next is not None) == (first.current, True)
    assert signing.plan(announced, due + 299, LIFE, published=True) is announced
    assert signing.plan(announced, due + 300, LIFE, published=False) is announced
    after = signing.plan(announced, due + 300, LIFE, published=True)
    assert (after.current, after.old) == (announced.next, (first.current.certificate,))
    ended = signing.plan(after, first.current.not_after + 1, LIFE, published=True)
    assert ended.old == ()


def test_an_authority_of_a_short_life_is_replaced_in_time_when_long_ones_are_wanted() -> None:
    """Whoever changes the flag finds what was made before; it must not run out on the way."""
    short = signing.plan(None, START, 30.0, published=False)
    have, wall = short, START
    while have.current == short.current:
        assert wall < short.current.not_after
        have = signing.plan(have, wall, LIFE, published=True)
        wall += 0.3
    assert have.current.life_seconds == LIFE


@dataclass
class Cluster:
    """A Secret and APIServices behind optimistic writes; it can be away."""

    wall: ManualClock
    secret: dict[str, Any] = field(
        default_factory=lambda: {"metadata": {"name": "ca", "resourceVersion": "1"}}
    )
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    away: bool = False
    writes: int = 0
    before_replace: Any = None

    async def get(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any]:
        self._reached()
        if resource.kind == "Secret":
            return dict(self.secret)
        if name not in self.services:
            raise NotFound(name)
        return dict(self.services[name])

    async def replace(self, resource: Resource, document: dict[str, Any]) -> dict[str, Any]:
        self._reached()
        if self.before_replace is not None:
            act, self.before_replace = self.before_replace, None
            await act()
        if document["metadata"]["resourceVersion"] != self.secret["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        self.writes += 1
        metadata = {"name": "ca", "resourceVersion": str(self.writes + 1)}
        self.secret = {**document, "metadata": metadata}
        return self.secret

    async def patch(
        self, resource: Resource, name: str, namespace: str, change: Any
    ) -> dict[str, Any]:
        self._reached()
        found = self.services[name]
        if change["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        found["spec"] = {**found["spec"], **change["spec"]}
        return found

    def _reached(self) -> None:
        if self.away:
            raise Unreachable("away")

    def bundle(self, name: str = "v1beta1.x") -> bytes:
        return base64.b64decode(self.services[name]["spec"].get("caBundle") or "")


def cluster(clock: ManualClock, **owners: str) -> Cluster:
    return Cluster(
        clock,
        services={
            name: {
                "metadata": {"resourceVersion": "7"},
                "spec": {
                    "service": {"namespace": "ls", "name": owners.get(name[:7], "adapter")},
                    "insecureSkipTLSVerify": True,
                },
            }
            for name in NAMES.api_services
        },
    )


class Replica:
    """One adapter's keeper of certificates, and what it serves."""

    def __init__(self, kube: Cluster, life: float = LIFE) -> None:
        self.shown: KeyPair | None = None
        self.keeper = Managed(
            kube,
            kube.wall,
            NAMES,
            authority_seconds=life,
            certificate_seconds=life / 10,
            serve=self._serve,
        )

    def _serve(self, pair: KeyPair) -> None:
        self.shown = pair


async def test_replicas_that_start_together_agree_on_one_authority() -> None:
    clock = ManualClock(wall=START)
    kube = cluster(clock)
    a, b = Replica(kube), Replica(kube)
    kube.before_replace = b.keeper.step  # b is quicker between a's reading and writing
    await a.keeper.step()
    assert kube.writes == 1
    assert a.shown != b.shown
    for replica in (a, b):
        assert replica.shown is not None
        assert believed(replica.shown, kube.bundle(), START)
    spec = kube.services["v1beta2.x"]["spec"]
    assert (spec["insecureSkipTLSVerify"], kube.bundle("v1beta2.x")) == (None, kube.bundle())


async def test_an_apiservice_of_another_is_left_alone() -> None:
    kube = cluster(ManualClock(wall=START), v1beta2="keda")
    before = dict(kube.services["v1beta2.x"]["spec"])
    await Replica(kube).keeper.step()
    assert kube.services["v1beta2.x"]["spec"] == before
    assert kube.bundle()


async def test_a_bundle_that_somebody_changed_is_put_right() -> None:
    kube = cluster(ManualClock(wall=START))
    replica = Replica(kube)
    await replica.keeper.step()
    good = kube.bundle()
    kube.services["v1beta1.x"]["spec"]["caBundle"] = ""
    del kube.services["v1beta2.x"]
    await replica.keeper.step()
    assert kube.bundle() == good


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    replicas=st.integers(1, 3),
    away=st.lists(st.integers(0, 59), max_size=6),
)
def test_each_certificate_is_believed_at_every_moment(
    seed: int, replicas: int, away: list[int]
) -> None:
    """Two lives of an authority long, looked at irregularly, with the API server away at times."""
    rng = random.Random(seed)

    async def live() -> None:
        clock = ManualClock(wall=START)
        kube = cluster(clock)
        alive = [Replica(kube) for _ in range(replicas)]
        for replica in alive:
            await replica.keeper.step()
        for day in range(60):
            kube.away = day in away
            for replica in rng.sample(alive, len(alive)):
                clock.advance(DAY / len(alive))
                try:
                    await replica.keeper.step()
                except (Unreachable, Conflict):
                    continue
                for each in alive:
                    assert each.shown is not None
                    # One that could not renew for days has itself to blame for its age only.
                    now = min(clock.wall(), each.shown.not_after.timestamp() - 1)
                    assert believed(each.shown, kube.bundle(), now)

    asyncio.run(live())


async def test_an_authority_in_use_is_never_older_than_its_certificates() -> None:
    clock = ManualClock(wall=START)
    kube = cluster(clock)
    replica = Replica(kube)
    for _ in range(40):
        await replica.keeper.step()
        assert replica.shown is not None
        held = signing.read({k: base64.b64decode(v) for k, v in kube.secret["data"].items()})
        assert isinstance(held, Authorities)
        assert replica.shown.not_after.timestamp() <= held.current.not_after
        clock.advance(DAY)
