"""``make demo`` end to end: it finishes with its report, and leaves nothing however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.envoy, pytest.mark.slow, pytest.mark.timeout(240)]


def start(out: Path, seconds: int) -> subprocess.Popen[str]:
    command = ["-m", "load_tests", "demo", "--seconds", str(seconds), "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(out)},
    )


def children(pid: int) -> set[int]:
    """The running children of ``pid``."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(child) for child in listed.split()}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_ends_with_a_table_a_report_and_things_to_try(tmp_path: Path) -> None:
    with start(tmp_path, seconds=4) as demo:
        said, _ = demo.communicate(timeout=220)
    assert demo.returncode == 0, said
    assert "\nround_robin " in said
    assert "\nloadstar " in said
    assert "curl -N http://127.0.0.1:" in said
    assert (tmp_path / "report.html").read_text().count("<svg") == 5
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_stops_at_any_moment_and_leaves_nothing(ending: signal.Signals, tmp_path: Path) -> None:
    with start(tmp_path, seconds=60) as demo:
        started: set[int] = set()
        deadline = time.perf_counter() + 60
        while len(started) < 2 and time.perf_counter() < deadline:  # model servers and Envoy
            started |= children(demo.pid)
            time.sleep(0.05)
        demo.send_signal(ending)
        said, _ = demo.communicate(timeout=20)
    assert len(started) >= 2
    assert said.endswith("stopped\n")
    assert demo.returncode == 128 + ending
    assert not [pid for pid in started if alive(pid)]
    assert list(tmp_path.iterdir()) == []
