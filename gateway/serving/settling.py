"""Has the director look at what lingers, several times a second, until cancelled.

Requests do the same as they come; this is for when none comes, and for what endpoints report.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from loadstar.clock import Clock

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.25
"""Endpoints are scraped ten times a second at most while busy, and an answer lasts seconds."""


async def settling(settle: Callable[[float], None], clock: Clock) -> None:
    """Call ``settle(now)`` again and again."""
    told = False
    while True:
        await asyncio.sleep(SETTLE_SECONDS)
        try:
            settle(clock.now())
        except Exception:  # The rim: accounts may err for a while, requests must not.
            if not told:
                log.exception("what lingers cannot be settled")
            told = True
