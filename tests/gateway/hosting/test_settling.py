"""What lingers is looked at again and again, and a bug in that is told once and no more."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.serving.settling import SETTLE_SECONDS, settling
from tests.fakes.clock import ManualClock


async def run_for(seconds: float, settle: list[float], broken: bool) -> None:
    def told(now: float) -> None:
        settle.append(now)
        if broken:
            raise ZeroDivisionError

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(settling(told, ManualClock()))
        await asyncio.sleep(seconds)
        task.cancel()


@pytest.mark.looptime
async def test_it_settles_until_it_is_cancelled() -> None:
    settled: list[float] = []
    await run_for(10.5 * SETTLE_SECONDS, settled, broken=False)
    assert len(settled) in (10, 11)  # where the first point lies is the process's


@pytest.mark.looptime
async def test_a_bug_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    settled: list[float] = []
    with caplog.at_level(logging.ERROR):
        await run_for(10.5 * SETTLE_SECONDS, settled, broken=True)
    assert len(settled) in (10, 11)
    assert len(caplog.records) == 1
