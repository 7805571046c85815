"""Keeps the process small: what large documents leave behind goes back to the system.

Reading 20,000 samples makes some 25 MB of values that are gone a moment later; read in many threads
at once, each with an arena of its own, they would stay many times. With five such files that change
together 270 MB become 150. Called before there are any threads.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Final

M_ARENA_MAX: Final = -8
"""glibc's name for the number of arenas."""
THREADS: Final = 1
"""For what takes long, one after the other. None of it is on an answer's way, and looking up names
is not among it: uvloop does that in threads of its own."""
GC_THRESHOLD: Final = 50_000
"""New containers before the youngest are collected: a list of a thousand pods makes 5,000, and at
Python's own 700 each such answer would wait for several collections that find nothing."""


def one_arena() -> None:
    """Have all threads share one arena, where the C library is one that has several."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def one_thread(loop: asyncio.AbstractEventLoop) -> None:
    """What is done beside the loop is done one after the other."""
    loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="adapter"))


def settle() -> None:
    """Take what was made so far out of the garbage collector's sight, and let it look seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
