"""Publishers and subscribers over real sockets: TLS, tokens, replicas that come, go and hang."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from loadstar import tls
from loadstar.clock import SystemClock
from loadstar.feed.addresses import split
from loadstar.feed.publish import Publisher
from loadstar.feed.subscribe import Subscription
from loadstar.feed.trust import Trust
from loadstar.signals.model import EndpointLoad, Snapshot

PLAINTEXT = Trust(plaintext=True)


class Replica:
    """A publisher that counts how often it was asked for a snapshot."""

    def __init__(self, name: str, token: Callable[[], str] = lambda: "") -> None:
        self.name = name
        self.made = 0
        self.publisher = Publisher(self._snapshot, token=token, every_seconds=0.02)
        self.fails = 0
        self.hangs = False

    async def _snapshot(self) -> Snapshot:
        for _ in range(1000):
            if not self.hangs:
                break
            await asyncio.sleep(0.01)
        self.made += 1
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not this time")
        return Snapshot(
            publisher=self.name,
            started_at=1.0,
            observed_at=float(self.made),
            endpoints=(EndpointLoad(namespace="lab", name="vllm-0", waiting=3.0),),
        )


@contextlib.asynccontextmanager
async def published(replica: Replica, port: int = 0, credentials: Any = None) -> AsyncIterator[int]:
    bound = await replica.publisher.start("127.0.0.1", port, credentials)
    running = asyncio.get_running_loop().create_task(replica.publisher.run())
    try:
        yield bound
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await replica.publisher.stop()


@contextlib.asynccontextmanager
async def subscribed(
    *addresses: str, trust: Trust = PLAINTEXT
) -> AsyncIterator[tuple[Subscription, list[Snapshot]]]:
    heard: list[Snapshot] = []
    subscription = Subscription(
        addresses,
        trust=trust,
        name="test",
        heard=heard.append,
        rng=random.Random(1),
        resolve_seconds=0.1,
        silence_seconds=0.5,
    )
    running = asyncio.get_running_loop().create_task(subscription.run())
    try:
        yield subscription, heard
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


async def test_each_replica_is_heard_again_and_again_and_nothing_is_made_for_nobody() -> None:
    one, two = Replica("one"), Replica("two")
    async with published(one) as first, published(two) as second:
        await asyncio.sleep(0.1)
        assert one.made == 0
        async with subscribed(f"127.0.0.1:{first}", f"127.0.0.1:{second}") as (_, heard):
            await until(lambda: {s.publisher for s in heard} == {"one", "two"} and len(heard) > 5)
            assert heard[0].endpoints == (
                EndpointLoad(namespace="lab", name="vllm-0", waiting=3.0),
            )
            times = [s.observed_at for s in heard if s.publisher == "one"]
            assert times == sorted(set(times))
        await until(lambda: one.publisher.subscribers == 0)
        made = one.made
        await asyncio.sleep(0.1)
        assert one.made <= made + 1


async def test_a_snapshot_that_fails_is_not_the_last() -> None:
    replica = Replica("one")
    replica.fails = 2
    async with published(replica) as port, subscribed(f"127.0.0.1:{port}") as (_, heard):
        await until(lambda: len(heard) > 1)
        assert heard[0].observed_at == 3.0


async def test_a_replica_that_restarts_is_heard_again() -> None:
    before = Replica("before")
    async with (
        published(before) as port,
        subscribed(f"127.0.0.1:{port}") as (subscription, heard),
    ):
        await until(lambda: len(heard) > 0)
        await before.publisher.stop()
        await until(lambda: bool(subscription.problems))
        async with published(Replica("after"), port):
            await until(lambda: heard[-1].publisher == "after")
            assert subscription.problems == {}


async def test_a_replica_that_hangs_is_asked_anew_and_delays_only_itself() -> None:
    hanging, other = Replica("hanging"), Replica("other")
    async with (
        published(hanging) as first,
        published(other) as second,
        subscribed(f"127.0.0.1:{first}", f"127.0.0.1:{second}") as (subscription, heard),
    ):
        await until(lambda: {s.publisher for s in heard} == {"hanging", "other"})
        hanging.hangs = True
        await until(lambda: "silent" in subscription.problems.get(("127.0.0.1", first), ""))
        before = len(heard)
        await until(lambda: len(heard) > before + 3)
        hanging.hangs = False
        await until(lambda: heard[-1].publisher == "hanging")


async def test_a_name_that_cannot_be_resolved_is_said_and_others_are_heard() -> None:
    async with (
        published(Replica("one")) as port,
        subscribed("no-such-host.invalid:1", f"127.0.0.1:{port}") as (subscription, heard),
    ):
        await until(lambda: len(heard) > 0)
        await until(lambda: "no-such-host.invalid" in subscription.problems)
        assert subscription.replicas == (("127.0.0.1", port),)


async def test_a_token_opens_the_feed_and_another_does_not(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    await asyncio.to_thread(good.write_text, "secret\n")
    await asyncio.to_thread(bad.write_text, "other")
    replica = Replica("one", token=lambda: "secret")
    async with published(replica) as port:
        address = f"127.0.0.1:{port}"
        for trust in (PLAINTEXT, Trust(plaintext=True, token_file=str(bad))):
            async with subscribed(address, trust=trust) as (subscription, heard):
                await until(lambda: bool(subscription.problems))
                assert "UNAUTHENTICATED" in subscription.problems["127.0.0.1", port]
                assert heard == []
        assert replica.made == 0
        right = Trust(plaintext=True, token_file=str(good))
        async with subscribed(address, trust=right) as (_, heard):
            await until(lambda: len(heard) > 0)


def serving(pair: tls.KeyPair) -> Any:
    return grpc.ssl_server_credentials([(pair.key, pair.certificate)])


async def test_over_tls_a_publisher_is_known_by_its_ca_or_not_heard(tmp_path: Path) -> None:
    wall = SystemClock().wall()
    pair, other = tls.self_signed(wall), tls.self_signed(wall)
    ca, wrong = tmp_path / "ca.crt", tmp_path / "wrong.crt"
    await asyncio.to_thread(ca.write_bytes, pair.certificate)
    await asyncio.to_thread(wrong.write_bytes, other.certificate)
    async with published(Replica("one"), credentials=serving(pair)) as port:
        address = f"127.0.0.1:{port}"
        async with subscribed(address, trust=Trust(ca_file=str(ca))) as (_, heard):
            await until(lambda: len(heard) > 0)
        async with subscribed(address, trust=Trust(insecure_skip_verify=True)) as (_, heard):
            await until(lambda: len(heard) > 0)
        for trust in (Trust(ca_file=str(wrong)), Trust(), PLAINTEXT):
            async with subscribed(address, trust=trust) as (subscription, heard):
                await until(lambda: bool(subscription.problems))
                assert heard == []


def test_an_address_is_a_host_and_a_port() -> None:
    assert split("gateways:9004") == ("gateways", 9004)
    assert split("[2001:db8::1]:9004") == ("2001:db8::1", 9004)
    for wrong in ("gateways", ":1", "a:0", "a:99999", "a:b"):
        with pytest.raises(ValueError, match="is not host:port"):
            split(wrong)
