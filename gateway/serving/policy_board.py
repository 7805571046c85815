"""A configuration handed from the collector to the workers of one gateway, in shared memory.

Every process begins with what stands there. With ``--config-map`` one process asks the API server
and says what is wrong, and the others take what it found good; a file each follows by itself.
"""

from __future__ import annotations

import asyncio
import logging

from gateway.datalayer.shared_memory import Board
from gateway.serving.policy_given import Given, decode, encode
from gateway.serving.policy_in_force import PolicyInForce

LOOK_SECONDS = 0.1
"""How much later than the collector a worker may change."""

log = logging.getLogger(__name__)


def publish(board: Board, given: Given) -> None:
    """Let every worker take ``given``. By the collector."""
    board.write(0, encode(given))


def published(board: Board) -> Given | None:
    """What was published last; None before the first."""
    version, message = board.read(0)
    return decode(message) if version else None


class PolicyBoard:
    """The board as a source of configurations."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._seen = 0  # the first look takes what stands there, which may be what we began with

    async def run(self, policy: PolicyInForce) -> None:
        """Take changes as they come, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            version, message = self._board.read(0)
            if version in (0, self._seen):
                continue
            self._seen = version
            await policy.take(decode(message))
