"""A task that runs as long as a scope is entered; what is raised in the scope leaves it bare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(run: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Run ``run`` while inside, and end it on the way out.

    An exception of the inside leaves as it is: in a group, as a TaskGroup would have it, whoever
    knows it by its type would not see it. One of ``run`` ends the inside and does leave in a group.
    """
    of_the_inside: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run, name=name)
        try:
            yield
        except Exception as error:
            of_the_inside = error
        finally:
            running.cancel()
    if of_the_inside is not None:
        raise of_the_inside
