"""All that is periodic in a process wakes at the same points of time."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.aio.steps import ahead_seconds, next_step, phase_seconds

STEPS = st.floats(0.01, 10.0)
TIMES = st.floats(0.0, 1e7)
PHASES = st.floats(0.0, 1.0, exclude_max=True)


@given(STEPS, TIMES, PHASES)
def test_the_next_point_is_a_step_away_at_most_and_a_tenth(
    step: float, now: float, phase: float
) -> None:
    ahead = ahead_seconds(step, now, phase)
    assert 0.1 * step < ahead <= 1.1 * step + 1e-6
    off = (now + ahead - phase) % step
    assert min(off, step - off) == pytest.approx(0.0, abs=1e-6)


def test_a_timer_that_is_early_does_not_wake_twice() -> None:
    assert ahead_seconds(1.0, 0.9999, 0.0) == pytest.approx(1.0001)


def test_two_processes_have_points_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    phases = []
    for pid in (4711, 4712, 4713):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        phases.append(phase_seconds())
    assert all(0.0 <= phase < 1.0 for phase in phases)
    assert min(abs(a - b) for a in phases for b in phases if a is not b) > 0.1


@pytest.mark.looptime
async def test_whoever_began_when_all_wake_together() -> None:
    loop = asyncio.get_running_loop()
    woke: list[float] = []

    async def periodic(begins_after: float) -> None:
        await asyncio.sleep(begins_after)
        for _ in range(3):
            await next_step(1.0)
            woke.append(loop.time())

    async with asyncio.TaskGroup() as tasks:
        for begins_after in (0.0, 0.3, 0.6):
            tasks.create_task(periodic(begins_after))
    assert len({round(at % 1.0, 6) for at in woke}) == 1
    assert len({round(at, 6) for at in woke}) <= 4
