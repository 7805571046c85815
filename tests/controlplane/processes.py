"""Child processes for synchronous tests: started, watched, paused, and ended by their pid.

Like ``load_tests.process``, without a loop: a child gets a session of its own and the kernel's
promise to die with us. That promise is about the thread that forked, so one thread does all the
forking and lives until ``Spawner.close``; tests may call from any thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from load_tests.process import TETHER
from loadstar.clock import SystemClock

LOG_TAIL_BYTES = 4000
POLL_SECONDS = 0.05


class ProcessFailed(RuntimeError):
    """A process ended, or was not ready in time; the message has the end of its log."""


class NotInTime(RuntimeError):
    """Something a test waited for did not come about."""


def wait_until(probe: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Return once ``probe`` says yes; NotInTime, naming ``what``, after ``within_s``."""
    clock = SystemClock()
    until = clock.now() + within_s
    while not probe():
        if clock.now() > until:
            raise NotInTime(f"not within {within_s:g} s: {what}")
        time.sleep(POLL_SECONDS)


class Spawner:
    """The one thread that forks."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spawner")

    def spawn(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        return self._thread.submit(_spawn, command, log, env).result()

    def close(self) -> None:
        """Ends the thread, and with it whatever it started that still runs."""
        self._thread.shutdown()


def _spawn(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [*(sys.executable, "-S", "-E", "-c", TETHER, str(os.getpid())), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            start_new_session=True,
        )


class Process:
    """One program that can be started, stopped and started again; its log goes on."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        logs: Path,
        spawner: Spawner,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = command
        self.log = logs / f"{name}.log"
        self._spawner = spawner
        self._env = env
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Raises ProcessFailed if it is not started."""
        if self._running is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self._running.pid

    @property
    def runs(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        if self.runs:
            raise ProcessFailed(f"{self.name} runs already, as {self.pid}")
        self._running = self._spawner.spawn(self.command, self.log, self._env)

    def wait_ready(self, probe: Callable[[], bool], *, within_s: float) -> None:
        """Raises ProcessFailed if it ends first, or is not there within ``within_s``."""

        def ready_or_gone() -> bool:
            return not self.runs or probe()

        try:
            wait_until(ready_or_gone, within_s=within_s, what=f"{self.name} is ready")
        except NotInTime as error:
            raise ProcessFailed(f"{error}; {self.tail()}") from None
        self.check()

    def check(self) -> None:
        """Raises ProcessFailed if it has ended."""
        if not self.runs:
            code = None if self._running is None else self._running.returncode
            raise ProcessFailed(f"{self.name} ended with {code}; {self.tail()}")

    def stop(self, *, grace_s: float) -> None:
        """SIGTERM and ``grace_s`` of time, then SIGKILL; returns once it is reaped."""
        if self._running is None:
            return
        # One that was paused cannot act on a SIGTERM.
        self.signal(signal.SIGCONT)
        if grace_s > 0:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running.wait(grace_s)
        self.signal(signal.SIGKILL)
        self._running.wait()
        self._running = None

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens if it has ended."""
        if self.runs:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """Freeze it: its sockets stay open and nobody answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def tail(self) -> str:
        """The end of its log, for an error message."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
                return f"{self.log} ends:\n{file.read().decode('utf-8', 'replace')}"
        except OSError as error:
            return f"no log: {error}"


class HeldPorts:
    """Loopback ports that stay ours while the server on them is away.

    Each is bound here and never listened on, with SO_REUSEPORT, so that a server which asks for
    port sharing can take and leave it, and nobody else is given it in between.
    """

    def __init__(self, count: int, host: str = "127.0.0.1") -> None:
        self._sockets: list[socket.socket] = []
        for _ in range(count):
            held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((host, 0))
            self._sockets.append(held)
        self.ports: tuple[int, ...] = tuple(each.getsockname()[1] for each in self._sockets)

    def close(self) -> None:
        for each in self._sockets:
            each.close()
