"""The file of ``--config`` is followed: what cannot be read leaves the last good one in force."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from metrics_adapter.adapter_config import AdapterConfig
from metrics_adapter.metrics import Metrics
from metrics_adapter.policy_file import follow, read

GOOD = "sources: [{type: file, path: /a.yaml}]\n"
NEXT = "sources: [{type: file, path: /b.yaml}]\n"


async def test_a_pipe_in_its_place_changes_nothing_and_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "adapter.yaml"
    await asyncio.to_thread(path.write_text, GOOD)
    used: list[AdapterConfig] = []
    first = await asyncio.to_thread(read, str(path))
    await asyncio.to_thread(path.unlink)
    await asyncio.to_thread(os.mkfifo, path)
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(follow(str(path), first, used.append, Metrics()))
            while "the last good one stays" not in caplog.text:  # noqa: ASYNC110 -- no event
                await asyncio.sleep(0.01)
            assert f"{path}: is a named pipe; put a regular file there" in caplog.text
            assert used == []
            await asyncio.to_thread(path.unlink)
            await asyncio.to_thread(path.write_text, NEXT)
            while not used:  # noqa: ASYNC110 -- no event
                await asyncio.sleep(0.01)
            running.cancel()
    assert used == [await asyncio.to_thread(read, str(path))]
