"""Children end with their scope, with their parent, and say why they failed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from load_tests.ports import free_ports
from load_tests.process import ChildFailed, child

pytestmark = pytest.mark.envoy  # starts real processes

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
PARENT = """
import asyncio, signal, sys
from pathlib import Path
from load_tests.process import child

# A shell that starts us in the background has told us to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    program, logs = sys.argv[1:]
    command = [sys.executable, "-c", program]
    async with child("grandchild", command, logs=Path(logs)) as it:
        print(it.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("program", [SLEEP, STUBBORN], ids=["polite", "ignores SIGTERM"])
async def test_a_child_is_gone_after_its_scope(program: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", program]
    async with child("sleeper", command, logs=tmp_path, grace_s=0.3) as sleeper:

        async def up() -> bool:
            return "up" in await sleeper.tail()

        await sleeper.ready(up, within_s=10, what="up")
        assert await asyncio.to_thread(alive, sleeper.pid)
    assert not await asyncio.to_thread(alive, sleeper.pid)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_child_does_not_outlive_its_parent(ending: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, STUBBORN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(ending)
        parent.wait(10)
        deadline = time.perf_counter() + 5
        while alive(pid) and time.perf_counter() < deadline:
            time.sleep(0.02)
    assert not alive(pid)


async def test_a_child_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    command = [sys.executable, "-c", "raise SystemExit('no model')"]
    with pytest.raises(ChildFailed, match=r"ended with 1 before it was ready[\s\S]*no model"):
        async with child("broken", command, logs=tmp_path) as broken:
            await broken.ready(never, within_s=10, what="ready")


async def test_a_child_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(ChildFailed, match=r"not ready after 0\.2 s"):
        async with child("slow", [sys.executable, "-c", SLEEP], logs=tmp_path) as slow:
            await slow.ready(never, within_s=0.2, what="ready")


async def test_free_ports_are_free_and_never_given_twice() -> None:
    first, second = free_ports(3), free_ports(3)
    assert set(first).isdisjoint(second)
    for port in (*first, *second):
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        server.close()
        await server.wait_closed()


def test_the_environment_of_a_child_is_ours_and_what_is_added(tmp_path: Path) -> None:
    async def run() -> str:
        command = [sys.executable, "-c", "import os; print(os.environ['PATH'], os.environ['X'])"]
        async with child("env", command, logs=tmp_path, env={"X": "added"}) as printed:

            async def ended() -> bool:
                return printed.returncode is not None

            await printed.ready(ended, within_s=10, what="ended")
            return (await printed.tail()).strip()

    assert asyncio.run(run()) == f"{os.environ['PATH']} added"
