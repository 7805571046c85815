"""What the collector found good reaches the workers through shared memory, whole."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given as example
from hypothesis import strategies as st

from gateway.datalayer.shared_memory import create
from gateway.serving.policy_board import PolicyBoard, publish, published
from gateway.serving.policy_given import Given, Origin, decode, encode
from tests.gateway.hosting.test_policy_file import FIRST, SECOND, in_force


def given(text: str, version: str) -> Given:
    return Given(text.encode(), Origin("ConfigMap prod/gateway", version))


@example(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_what_is_written_is_read(text: bytes, source: str, version: str) -> None:
    whole = Given(text, Origin(source, version))
    assert decode(encode(whole)) == whole


@pytest.mark.looptime
async def test_a_worker_begins_with_what_stands_there_and_follows() -> None:
    board = create(1, slots=8).policy
    assert published(board) is None
    publish(board, given(FIRST, "1"))
    begin = published(board)
    assert begin == given(FIRST, "1")
    reloads: list[bool] = []
    policy = await asyncio.to_thread(in_force, begin, reloads)
    publish(board, given(SECOND, "2"))  # before the worker has had a first look
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(PolicyBoard(board).run(policy))
        while policy.given != given(SECOND, "2"):  # noqa: ASYNC110 -- no event is raised
            await asyncio.sleep(0.01)
        run.cancel()
    assert reloads == [True]
