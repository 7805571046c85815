"""``make demo`` end to end: it finishes with its report, and leaves nothing however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.envoy, pytest.mark.slow, pytest.mark.timeout(240)]


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = ["-m", "load_tests", "demo", "--out", str(out), *arguments]
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


def descendants(pid: int) -> set[int]:
    """``children``, and theirs; of what has ended, none."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for child in children(pid):
            found |= {child} | descendants(child)
    return found


def test_the_first_act_ends_with_a_table_a_report_and_things_to_try(tmp_path: Path) -> None:
    with start(tmp_path, "--act", "gateway", "--seconds", "4") as demo:
        said, _ = demo.communicate(timeout=220)
    assert demo.returncode == 0, said
    assert "\nround_robin " in said
    assert "\nloadstar " in said
    assert "curl -N http://127.0.0.1:" in said
    assert (tmp_path / "report.html").read_text().count("<svg") == 5
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_second_act_scales_both_fleets_and_the_adapter_answers(tmp_path: Path) -> None:
    with start(tmp_path, "--act", "autoscaler", "--hours", "8-11") as demo:
        said, _ = demo.communicate(timeout=220)
    assert demo.returncode == 0, said
    assert "time is compressed 360 times" in said
    assert "\nLoadstar, predictive " in said
    assert "\nHPA, reactive " in said
    assert said.count("\nok ") == 6
    assert said.count("  curl -sk 'https://127.0.0.1:") == 8  # asked, and to try
    assert "-> no answer" not in said
    assert (tmp_path / "report.html").read_text().count("<svg") == 5
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize(
    ("act", "processes"),
    [
        pytest.param("gateway", 2, id="gateway"),  # model servers and Envoy
        # Four servers and six spares, two gateways, two Envoys, the autoscaler, the adapter.
        pytest.param("autoscaler", 16, id="autoscaler"),
    ],
)
def test_it_stops_at_any_moment_and_leaves_nothing(
    act: str, processes: int, ending: signal.Signals, tmp_path: Path
) -> None:
    with start(tmp_path, "--act", act) as demo:
        started: set[int] = set()
        deadline = time.perf_counter() + 60
        while len(started) < processes and time.perf_counter() < deadline:
            started |= descendants(demo.pid)
            time.sleep(0.05)
        demo.send_signal(ending)
        said, _ = demo.communicate(timeout=20)
    assert len(started) >= processes
    assert said.endswith("stopped\n")
    assert demo.returncode == 128 + ending
    assert not [pid for pid in started if alive(pid)]
    assert list(tmp_path.iterdir()) == []
