"""Points of time that everything periodic in a process shares, so that one waking serves all of it.

A process that wakes for one small thing finds its caches cold and pays a tenth of a millisecond for
what takes ten microseconds in company. Other processes have points of their own: a node full of
them must not wake at once.
"""

from __future__ import annotations

import asyncio
import os

GOLDEN = 0.6180339887498949
"""Its multiples, modulo anything, keep their distance."""
_MARGIN = 0.1
"""Of a step: a point closer than this has just been; timers may be a little early."""


def phase_seconds() -> float:
    """Where this process's points begin, 0..1."""
    return os.getpid() * GOLDEN % 1.0


def ahead_seconds(step: float, now: float, phase: float) -> float:
    """From ``now`` to the next of the points ``phase + k * step``, k whole; all in seconds.

    Between a tenth of a step and a tenth more than a step.
    """
    ahead = step - (now - phase) % step
    return ahead if ahead > _MARGIN * step else ahead + step


async def next_step(step: float) -> None:
    """Sleep until the next of this process's points, ``step`` seconds apart."""
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(ahead_seconds(step, now, phase_seconds()))
