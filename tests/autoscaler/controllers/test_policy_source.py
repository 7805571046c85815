"""A policy's file is followed: what cannot be read leaves the last good one in force."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from autoscaler.controllers.policy_in_force import PolicyInForce
from autoscaler.controllers.policy_source import PolicyFile
from loadstar.config.errors import ConfigError

GOOD = "mode: active\nmodels: [{name: chat}]\npools: [{name: a100}]\n"


def latin(path: Path) -> None:
    path.write_bytes("# f\xfcr chat\n".encode("latin-1") + GOOD.encode())


@pytest.mark.parametrize(
    ("made", "says"),
    [
        pytest.param(os.mkfifo, "is a named pipe; put a regular file there", id="pipe"),
        pytest.param(
            latin, "not UTF-8: invalid start byte at byte 3; save it as UTF-8", id="Latin-1"
        ),
    ],
)
async def test_what_cannot_be_read_changes_nothing_and_nobody_waits(
    tmp_path: Path, made: Callable[[Path], None], says: str
) -> None:
    path = tmp_path / "policy.yaml"
    await asyncio.to_thread(path.write_text, GOOD)
    force = PolicyInForce(lambda: 100.0)
    again = asyncio.Event()
    source = PolicyFile(path, force, again.set)
    await source.start()
    again.clear()
    await asyncio.to_thread(path.unlink)
    await asyncio.to_thread(made, path)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(source.run())
        while force.problem is None:  # noqa: ASYNC110 -- what is refused raises no event
            await asyncio.sleep(0.01)
        (problem,) = force.problem.problems
        assert str(problem).startswith(f"{path}: {says}")
        assert force.current is not None
        assert force.current.text == GOOD
        await asyncio.to_thread(path.unlink)
        await asyncio.to_thread(path.write_text, GOOD + "safety: {killSwitch: true}\n")
        await again.wait()
        running.cancel()
    assert force.problem is None


async def test_a_start_over_a_pipe_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    await asyncio.to_thread(os.mkfifo, path)
    with pytest.raises(ConfigError, match="is a named pipe"):
        await PolicyFile(path, PolicyInForce(lambda: 100.0), lambda: None).start()
