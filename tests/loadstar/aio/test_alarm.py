"""A sleep that can be cut short."""

from __future__ import annotations

import asyncio

import pytest

from loadstar.aio.alarm import Alarm

pytestmark = pytest.mark.looptime


async def slept(alarm: Alarm, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await alarm.sleep(seconds)
    return loop.time() - started


async def test_it_sleeps_as_long_as_it_was_told() -> None:
    assert await slept(Alarm(), 3600) == pytest.approx(3600)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_no_time_is_no_sleep(seconds: float) -> None:
    assert await slept(Alarm(), seconds) == pytest.approx(0)


async def test_ringing_wakes() -> None:
    alarm = Alarm()
    asyncio.get_running_loop().call_later(5, alarm.ring)
    assert await slept(alarm, 3600) == pytest.approx(5)


async def test_ringing_wakes_once() -> None:
    """Nobody asleep hears nothing, and the next sleep is a whole one."""
    alarm = Alarm()
    alarm.ring()
    assert await slept(alarm, 10) == pytest.approx(10)
    asyncio.get_running_loop().call_later(1, alarm.ring)
    asyncio.get_running_loop().call_later(1, alarm.ring)
    assert await slept(alarm, 10) == pytest.approx(1)
    assert await slept(alarm, 10) == pytest.approx(10)


async def test_a_cancelled_sleeper_leaves_nothing_behind() -> None:
    alarm = Alarm()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await alarm.sleep(5)
    alarm.ring()
    assert await slept(alarm, 10) == pytest.approx(10)
