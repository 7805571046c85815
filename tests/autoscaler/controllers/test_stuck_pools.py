"""A pool of which nothing can come is counted on for no more than it has, and stays known."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from autoscaler.actuate.gate import Gate
from autoscaler.actuate.nodepool.delivery import DELIVERY_S
from autoscaler.actuate.nodepool.driver import PoolApi
from autoscaler.actuate.nodepool.reading import Autoscaling, Reading, Zone
from autoscaler.actuate.nodepool.state import Accepted, Write
from autoscaler.actuate.providers.catalog import Providers
from autoscaler.controllers.acting import Acting
from autoscaler.controllers.report import Report
from autoscaler.errors import Denied, Invalid, ProviderError, Unavailable
from autoscaler.metrics import Metrics
from autoscaler.observe.observation import PoolSupply
from autoscaler.policy.model import Mode, Policy, load_policy
from autoscaler.policy.pools import PoolPolicy
from tests.fakes.clock import ManualClock

POLICY = """\
mode: active
period: 1s
models:
- {name: m}
pools:
- {name: gpu, mode: setSize, maxUnits: 20}
"""
TWO = {"a": Zone(target=2, ready=2)}


@dataclass
class Stubborn:
    """A pool of two nodes; each look at it takes a quarter of a minute."""

    clock: ManualClock
    reading: Reading = field(default_factory=lambda: Reading(zones=TWO))
    unread: ProviderError | None = None
    refusal: ProviderError | None = None
    looks: int = 0
    writes: list[Write] = field(default_factory=list)
    by_hand: dict[int, Reading] = field(default_factory=dict)
    looked: Callable[[], None] = lambda: None

    async def read(self, operation: str) -> Reading:
        self.looks += 1
        self.reading = self.by_hand.get(self.looks, self.reading)
        self.clock.advance(15.0)
        self.looked()
        if self.unread is not None:
            raise self.unread
        return self.reading

    async def write(self, write: Write) -> Accepted:
        self.writes.append(write)
        if self.refusal is not None:
            raise self.refusal
        return Accepted("")


@dataclass(slots=True, kw_only=True)
class One(Providers):
    pool: Stubborn

    async def open(self, pool: PoolPolicy, empty_nodes: Callable[[], frozenset[str]]) -> PoolApi:
        return self.pool


def acting(pool: Stubborn, mode: Mode = Mode.ACTIVE) -> Acting:
    made = Acting(
        gate=Gate(mode=lambda: mode, leads=lambda _seconds: True),
        providers=One(pool=pool),
        kube=None,
        report=Report(Metrics(), None),
        clock=pool.clock,
        rng=random.Random(1),
        empty_nodes=lambda _pool: frozenset(),
    )
    made.units = {"gpu": 5}
    made.supply = {"gpu": PoolSupply(replicas_ready=2, units_ready=2)}
    return made


async def act(made: Acting, pool: Stubborn, seconds: float, policy: Policy) -> None:
    """Look for so long of the pool's clock, in no time."""
    end_s = pool.clock.now() + seconds
    over = asyncio.Event()
    pool.looked = lambda: over.set() if pool.clock.now() >= end_s else None
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.run(policy))
        await over.wait()
        await asyncio.sleep(0)
        running.cancel()


def hurried() -> Policy:
    """A policy without a pause between looks."""
    return replace(load_policy(POLICY), period_s=0.0)


STUCK = [
    pytest.param(Stubborn(ManualClock(), unread=Unavailable("no answer")), id="no answer"),
    pytest.param(Stubborn(ManualClock(), refusal=Denied("forbidden")), id="forbidden"),
    pytest.param(Stubborn(ManualClock(), refusal=Invalid("no such size")), id="called invalid"),
    pytest.param(Stubborn(ManualClock(), reading=Reading()), id="gone"),
    pytest.param(Stubborn(ManualClock(), reading=Reading(zones=TWO, status="ERROR")), id="broken"),
    pytest.param(
        Stubborn(
            ManualClock(),
            reading=Reading(zones=TWO, autoscaling=Autoscaling(enabled=True, total_max=9)),
        ),
        id="somebody else's to resize",
    ),
]


@pytest.mark.parametrize("pool", STUCK)
async def test_a_pool_of_which_nothing_can_come_is_left_for_others_after_a_delivery(
    pool: Stubborn,
) -> None:
    made = acting(pool)
    await act(made, pool, DELIVERY_S - 60.0, hurried())
    assert not made.circuits.is_open("gpu", pool.clock.now())
    made.circuits.begin()
    await act(made, pool, DELIVERY_S + 60.0, hurried())
    assert made.circuits.is_open("gpu", pool.clock.now())


async def test_where_we_only_advise_nothing_is_late() -> None:
    pool = Stubborn(ManualClock(), reading=Reading())
    made = acting(pool, Mode.ADVISORY)
    await act(made, pool, 2 * DELIVERY_S, hurried())
    assert not made.circuits.is_open("gpu", pool.clock.now())


async def test_a_size_that_somebody_set_outlasts_a_change_of_policy() -> None:
    pool = Stubborn(ManualClock())
    made = acting(pool)
    made.units = {"gpu": 2}
    pool.by_hand = {3: Reading(zones={"a": Zone(target=4, ready=4)})}  # at the third look
    await act(made, pool, 60.0, hurried())
    made.units = {"gpu": 6}
    await act(made, pool, 600.0, hurried())
    assert pool.writes == []
    await act(made, pool, 300.0, hurried())
    assert pool.writes != []
