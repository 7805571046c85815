"""A question to the API server, put again a few times where it got lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from loadstar.kube.errors import ApiError, ServerError, Unreachable
from metrics_adapter.security.identity import CannotTell

Answer = TypeVar("Answer")

AGAIN_SECONDS = (0.05, 0.2)
"""Waits before asking again: enough for a kept connection that has died and for a restart's blink.
A caller waits for two seconds at most, so there is no room for more."""


async def insisted(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """``ask``'s answer. Raises CannotTell where there is none; a review changes nothing."""
    for wait in AGAIN_SECONDS:
        try:
            return await ask()
        except (Unreachable, ServerError):
            await asyncio.sleep(wait)
        except ApiError as error:
            raise CannotTell(f"{type(error).__name__}: {error}") from error
    try:
        return await ask()
    except ApiError as error:
        raise CannotTell(f"{type(error).__name__}: {error}") from error
