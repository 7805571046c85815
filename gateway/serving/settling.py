"""Has the director look at what lingers, about once a second, until cancelled.

Requests do the same as they come; this is for when none comes, and for what endpoints report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from loadstar.aio.steps import next_step
from loadstar.clock import Clock

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.8
"""An answer lasts seconds; every look falls together with a scrape of who stands still."""


async def settling(settle: Callable[[float], None], clock: Clock) -> None:
    """Call ``settle(now)`` again and again."""
    told = False
    while True:
        await next_step(SETTLE_SECONDS)
        try:
            settle(clock.now())
        except Exception:  # The rim: accounts may err for a while, requests must not.
            if not told:
                log.exception("what lingers cannot be settled")
            told = True
