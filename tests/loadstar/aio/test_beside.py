"""What runs beside a scope ends with it, and hides nothing that is raised in it."""

from __future__ import annotations

import asyncio

import pytest

from loadstar.aio.beside import beside


async def test_it_runs_while_inside_and_no_longer() -> None:
    seen: list[str] = []

    async def run() -> None:
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    async with beside(run(), name="it"):
        await asyncio.sleep(0)
        assert seen == ["begun"]
    assert seen == ["begun", "ended"]


async def test_what_is_raised_inside_leaves_as_it_is() -> None:
    ended: list[bool] = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def scope() -> None:
        async with beside(run(), name="it"):
            await asyncio.sleep(0)
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        await scope()
    assert ended == [True]


async def test_what_it_raises_ends_the_inside() -> None:
    async def run() -> None:
        raise OSError("it")

    with pytest.raises(ExceptionGroup) as caught:
        async with beside(run(), name="it"):
            await asyncio.Event().wait()
    assert [str(error) for error in caught.value.exceptions] == ["it"]


async def test_cancelling_the_scope_cancels_both() -> None:
    inside = asyncio.Event()

    async def scope() -> None:
        async with beside(asyncio.sleep(3600), name="it"):
            inside.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(scope())
        await inside.wait()
        task.cancel()
    assert task.cancelled()
