"""Child processes that cannot outlive us: started, watched, and ended by their pid.

A child gets its own session (Ctrl-C in the terminal reaches only us, and we stop it in order) and
the kernel's promise to kill it when we die (``PR_SET_PDEATHSIG``), so that not even ``kill -9`` of
the parent leaves something running.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

# Runs in the child before the real program: ties its life to ours, then becomes that program.
# The second look at the parent closes the gap in which it may already have died.
TETHER = """
import os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
_SCHEDULED = 2
"""The kind of CPU clock that counts what the scheduler gave, user and system alike."""
LOG_TAIL_BYTES = 4000
POLL_SECONDS = 0.05


class ChildFailed(RuntimeError):
    """A child ended, or did not become ready in time; the message has the end of its log."""


class Child:
    """One running child process and its log file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._cpu_seconds = 0.0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal's number if a signal ended it."""
        return self._process.returncode

    def send(self, number: signal.Signals) -> None:
        """Signal it; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def cpu_seconds(self) -> float:
        """User and system time used so far; the last value seen once it has ended."""
        with contextlib.suppress(OSError):
            self._cpu_seconds = await asyncio.to_thread(cpu_seconds, self.pid)
        return self._cpu_seconds

    async def tail(self) -> str:
        """The end of the log, for an error message."""
        return await asyncio.to_thread(_tail, self.log)

    async def ready(
        self, probe: Callable[[], Awaitable[bool]], *, within_s: float, what: str
    ) -> None:
        """Wait until ``probe`` says yes.

        Raises ChildFailed if the child ends first or does not get there within ``within_s``.
        """
        try:
            async with asyncio.timeout(within_s):
                while not await probe():
                    if self.returncode is not None:
                        raise ChildFailed(
                            f"{self.name} ended with {self.returncode} before it was {what}; "
                            f"its log {self.log} ends:\n{await self.tail()}"
                        )
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise ChildFailed(
                f"{self.name} was not {what} after {within_s:g} s; its log {self.log} ends:\n"
                f"{await self.tail()}"
            ) from None

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after ``grace_s`` or when cancelled; returns once it is reaped."""
        try:
            await self.cpu_seconds()
            self.send(signal.SIGTERM)
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            self.send(signal.SIGKILL)
        await self._process.wait()


@asynccontextmanager
async def child(
    name: str,
    command: Sequence[str | Path],
    *,
    logs: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace_s: float = 3.0,
) -> AsyncIterator[Child]:
    """Run ``command`` (its first word an absolute path) for as long as the scope lasts.

    stdout and stderr go to ``logs/name.log``. The loop must run on the main thread: the kernel's
    promise is about the thread that forked, not about the process.
    """
    log = logs / f"{name}.log"
    output = await asyncio.to_thread(log.open, "ab")
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-E", "-c", TETHER, str(os.getpid())),
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            start_new_session=True,
        )
    finally:
        output.close()
    running = Child(name, process, log)
    try:
        yield running
    finally:
        await running.stop(grace_s)


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"(no log: {error})"


def cpu_seconds(pid: int) -> float:
    """User and system seconds of ``pid``, all of its threads; OSError if it is gone.

    From its CPU clock, which counts nanoseconds: /proc counts ticks of 10 ms, too coarse for a
    short run. The number of that clock is what clock_getcpuclockid(3) makes of a process.
    """
    return time.clock_gettime((~pid << 3) | _SCHEDULED)
