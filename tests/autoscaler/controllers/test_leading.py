"""Only while we lead, by our own clock, is anything acted on."""

from __future__ import annotations

import asyncio
import itertools

from autoscaler.actuate.circuit_book import TOLD_S, CircuitBook
from autoscaler.actuate.nodepool.delivery import DELIVERY_S
from autoscaler.controllers.leading import Leading
from loadstar.kube.leadership import Fence
from tests.fakes.clock import ManualClock


async def test_a_fence_that_is_over_ends_leadership_at_once() -> None:
    clock = ManualClock(now=0.0)
    leading = Leading()
    fence = Fence(1, "us", clock, 10.0, 0.0)
    acted = asyncio.Event()

    async def act() -> None:
        acted.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(leading.lead(fence, act))
        await acted.wait()
        assert leading.has(4.0, clock.now())
        clock.advance(7.0)
        assert not leading.has(4.0, clock.now())  # no write is begun that may outlast the lease
        assert leading.has(0.0, clock.now())
        clock.advance(60.0)  # the process was stopped, and goes on
        assert not leading.has(0.0, clock.now())
        task.cancel()
    assert not leading.has(0.0, clock.now())


async def test_a_new_policy_begins_the_acting_anew() -> None:
    leading = Leading()
    begun: list[int] = []
    begins = asyncio.Event()

    async def act() -> None:
        begun.append(len(begun))
        begins.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(leading.alone(act))
        for _ in range(3):
            await begins.wait()
            begins.clear()
            leading.again()
        await begins.wait()
        task.cancel()
    assert begun == [0, 1, 2, 3]


def test_units_that_do_not_come_open_a_circuit_that_waits_ever_longer() -> None:
    book = CircuitBook()
    opened: list[float] = []
    was = False
    for step in range(1_000):
        now_s = 15.0 * step
        book.waits("gpu", asked=3, ready=2, now_s=now_s)
        if book.is_open("gpu", now_s) and not was:
            opened.append(now_s)
        was = book.is_open("gpu", now_s)
    gaps = [later - sooner for sooner, later in itertools.pairwise(opened)]
    assert opened[0] == DELIVERY_S + 15.0
    assert gaps[:3] == [1_215.0, 1_515.0, 2_115.0]


def test_units_that_come_leave_no_trace() -> None:
    book = CircuitBook()
    for step in range(100):
        book.waits("gpu", asked=3, ready=3 if step % 50 == 49 else 2, now_s=15.0 * step)
        assert not book.is_open("gpu", 15.0 * step)


def test_units_that_come_while_ever_more_are_asked_for_are_not_late() -> None:
    """A ramp of an hour, each unit there six minutes after it was asked for."""
    book = CircuitBook()
    for step in range(240):
        ready = 2 + max(0, step - 24) // 8
        book.waits("gpu", asked=2 + step // 8, ready=ready, now_s=15.0 * step)
        assert not book.is_open("gpu", 15.0 * step)


def test_what_others_asked_for_is_not_waited_for() -> None:
    book = CircuitBook()
    book.waits("gpu", asked=3, ready=2, now_s=0.0)
    book.begin()  # we lead again, hours later
    book.waits("gpu", asked=3, ready=2, now_s=9_000.0)
    assert not book.is_open("gpu", 9_000.0)


def test_what_a_driver_told_ends_with_it() -> None:
    """Where acting rests, under advice or another leader, a stockout of then is no news now."""
    book = CircuitBook()
    book.note("gpu", is_open=True, quota_units=5, now_s=0.0)
    book.begin()  # a new policy, and a driver that knows what the one before it knew
    assert (book.is_open("gpu", TOLD_S), book.quota_units("gpu", TOLD_S)) == (True, 5)
    later_s = TOLD_S + 1.0
    assert (book.is_open("gpu", later_s), book.quota_units("gpu", later_s)) == (False, None)
