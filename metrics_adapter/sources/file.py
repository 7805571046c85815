"""A source that is a file: static values, tests, and whatever can write a file. IO.

Read again when it changes, however it was replaced. A broken or missing file keeps the last good
rows, and from then on even those that are always fresh grow old.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

import numpy as np

from loadstar.aio.changes import Changes
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from loadstar.files import contents
from metrics_adapter.adapter_config import FileSource
from metrics_adapter.query import Column, Published
from metrics_adapter.query.columns import WHENEVER
from metrics_adapter.sources.file_rows import MOST_BYTES, published
from metrics_adapter.store import Slot, Store, TooMuch

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""A change has two seconds to show, of which reading 20,000 rows of YAML takes one."""


class FileRows:
    """Keeps what is published in step with a file."""

    def __init__(self, config: FileSource, clock: Clock) -> None:
        self.name = f"file {config.path}"
        self._path = Path(config.path)
        self._clock = clock
        self._changes = Changes([self._path])
        self.problem = ""
        """Why what is told may not be what the file says; empty while it is."""

    async def run(self, store: Store) -> None:
        """Publish to ``store`` until cancelled."""
        with store.slot(self.name) as slot:
            while True:
                if await self._changes.look():
                    await self._take(slot)
                await asyncio.sleep(LOOK_SECONDS)

    async def _take(self, slot: Slot) -> None:
        """Publish what the file now says, or say why not."""
        try:
            text = await asyncio.to_thread(self._read)
            rows = await asyncio.to_thread(published, text)
            slot.publish(rows, self._clock.wall())
        except OSError as error:
            self._failed(slot, f"{self._path}: {error.strerror or error}")
        except (ConfigError, TooMuch) as error:
            self._failed(slot, f"{self._path}: {str(error)[:500]}")
        else:
            if self.problem:
                log.info("%s: read again", self._path)
            self.problem = ""

    def _read(self) -> bytes:
        return contents(self._path, MOST_BYTES + 1)

    def _failed(self, slot: Slot, problem: str) -> None:
        if problem == self.problem:
            return
        if not self.problem:
            now = self._clock.wall()
            slot.publish(_ageing(slot.published, now), now)
        self.problem = problem
        log.error("samples as they were, until they are too old: %s", problem)


def _ageing(rows: Published, now: float) -> Published:
    """``rows``, of which none is fresh for ever."""
    return Published(
        {
            key: tuple(_stamped(column, now) for column in columns)
            for key, columns in rows.columns.items()
        }
    )


def _stamped(column: Column, now: float) -> Column:
    at = np.where(column.at == WHENEVER, now, column.at)
    return Column(
        column.objects,
        column.row_object,
        column.row_labels,
        column.labels,
        column.value,
        at,
        column.window,
        column.buckets,
    )
