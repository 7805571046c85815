"""A question to the API server, put again a few times where it got lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from loadstar.clock import Clock
from loadstar.kube.errors import ApiError, ServerError, Unreachable
from metrics_adapter.security.identity import CannotTell

Answer = TypeVar("Answer")

CREATED = "201"
AGAIN_SECONDS = (0.05, 0.2)
"""Waits before asking again: enough for a kept connection that has died and for a restart's blink.
A caller waits for two seconds at most, so there is no room for more."""


Measure: TypeAlias = Callable[[str, str, float], None]
"""Told of each question: its kind, the status it got (or ``<error>``), and the seconds it took."""


async def insisted(
    ask: Callable[[], Awaitable[Answer]], kind: str, clock: Clock, measure: Measure
) -> Answer:
    """``ask``'s answer. Raises CannotTell where there is none; a review changes nothing."""
    for wait in (*AGAIN_SECONDS, None):
        began = clock.now()
        try:
            answer = await ask()
        except ApiError as error:
            measure(kind, str(error.status or "<error>"), clock.now() - began)
            if wait is None or not isinstance(error, Unreachable | ServerError):
                raise CannotTell(f"{type(error).__name__}: {error}") from error
            await asyncio.sleep(wait)
        else:
            measure(kind, CREATED, clock.now() - began)
            return answer
    raise AssertionError("the last wait is None")
