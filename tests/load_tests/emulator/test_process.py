"""The command line: a process that says when it is ready and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from load_tests.ports import free_ports

ROOT = Path(__file__).parents[3]


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.envoy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_ready_and_ends_cleanly_when_told(number: signal.Signals) -> None:
    port = free_ports(3)[0]
    with started("-m", "load_tests.emulator", "--port", str(port), "--count", "3") as process:
        assert first_line(process) == f"ready ports={port},{port + 1},{port + 2}\n"
        process.send_signal(number)
        assert process.wait(5) == 0


@pytest.mark.envoy
def test_it_ends_with_its_parent() -> None:
    port = free_ports(1)[0]
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'load_tests.emulator', '--port',"
        f" '{port}', '--exit-with-parent'], stdout=subprocess.PIPE, text=True)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with started("-c", parent) as process:
        child = int(first_line(process))
        assert is_running(child)
        process.kill()
        process.wait(5)
        deadline = time.perf_counter() + 5
        while is_running(child) and time.perf_counter() < deadline:
            time.sleep(0.05)
        assert not is_running(child)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie whose parent is gone waits only for init; it runs no more.
    return ") Z " not in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.envoy
def test_a_fault_that_does_not_exist_is_an_error_before_anything_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "load_tests.emulator", "--fault", "eror_rate=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "eror_rate: unknown fault" in done.stderr
