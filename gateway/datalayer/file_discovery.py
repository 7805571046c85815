"""``file-discovery``: endpoints from a file, read again when it changes. IO; ``endpoints_file``
says what the text means.

Watched by reading it every 1.6 seconds and comparing bytes. That sees what inotify does not
(network file systems, a path whose directory is swapped, as Kubernetes swaps a ConfigMap's) and
costs less than one scrape.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from gateway.datalayer.discovered import Discovered
from gateway.datalayer.discovery import NoReloadCounts, ReloadCounts
from gateway.datalayer.endpoints_file import parse, usable
from gateway.datalayer.store import Datastore
from loadstar.aio.steps import next_step
from loadstar.config.document import MAX_BYTES
from loadstar.config.errors import ConfigError, Problem
from loadstar.files import contents

FILE = "endpoints"
POLL_SECONDS = 1.6
"""As often as other files are looked at, and together with a scrape of who stands still."""
SETTLE_SECONDS = 0.1
"""A new text is used once two reads this far apart agree: a file may be written in steps, and the
first half of a list of endpoints is a list of endpoints."""

log = logging.getLogger(__name__)


class FileDiscovery:
    """Fills the store from ``path``; follows its changes if ``watch``."""

    def __init__(
        self,
        path: str | Path,
        *,
        watch: bool,
        poll_seconds: float = POLL_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
        counts: ReloadCounts | None = None,
    ) -> None:
        self._path = Path(path)
        self._watch = watch
        self._poll_seconds = poll_seconds
        self._settle_seconds = settle_seconds
        self._counts: ReloadCounts = NoReloadCounts() if counts is None else counts
        self._text: bytes | None = None
        """What was last read and judged, good or bad."""
        self._gone = False

    async def load(self, store: Datastore) -> None:
        """Read the file once. Raises ConfigError, naming the file and the place in it."""
        try:
            text = await asyncio.to_thread(_read, self._path)
            discovered = parse(text)
        except OSError as error:
            raise ConfigError.of(str(self._path), error.strerror or str(error)) from error
        except ConfigError as error:
            raise _in(self._path, error) from error
        self._text = text
        _apply(store, discovered, self._path)

    async def run(self, store: Datastore) -> None:
        """Follow the file until cancelled; if it is not watched, only wait."""
        if self._text is None:
            await self.load(store)
        while True:
            await next_step(self._poll_seconds)
            if self._watch:
                await self._look(store)

    async def _look(self, store: Datastore) -> None:
        """Take over what the file now says, if it is new, whole and good."""
        text = await self._settled()
        if text is None or text == self._text:
            return
        self._text = text
        try:
            discovered, problems = usable(text)
        except ConfigError as error:
            self._counts.reloaded(FILE, ok=False)
            log.error("endpoints as they were: %s", _in(self._path, error))
            return
        try:
            problems.raise_if_any()
        except ConfigError as error:
            log.error("endpoints without those that cannot be used: %s", _in(self._path, error))
        self._counts.reloaded(FILE, ok=not problems)
        _apply(store, discovered, self._path)

    async def _settled(self) -> bytes | None:
        """The file's text once it stands still; None if it cannot be read or keeps changing."""
        try:
            text = await asyncio.to_thread(_read, self._path)
            if text != self._text:
                await asyncio.sleep(self._settle_seconds)
                if await asyncio.to_thread(_read, self._path) != text:
                    return None  # the next look sees it
        except OSError as error:
            if not self._gone:
                self._gone = True
                self._counts.reloaded(FILE, ok=False)
                log.error("endpoints as they were: %s: %s", self._path, error.strerror or error)
            return None
        self._gone = False
        return text


def _read(path: Path) -> bytes:
    """At most one byte more than a document may have: ``parse`` refuses that."""
    return contents(path, MAX_BYTES + 1)


def _apply(store: Datastore, discovered: Discovered, path: Path) -> None:
    change = store.apply(discovered)
    log.info(
        "%s: %d endpoints, %d added, %d removed, %d changed",
        path,
        len(discovered.endpoints),
        len(change.added),
        len(change.removed),
        len(change.changed),
    )


def _in(path: Path, error: ConfigError) -> ConfigError:
    """The same problems, each with the file before its place."""
    return ConfigError(
        Problem(f"{path}: {problem.path}" if problem.path else str(path), problem.message)
        for problem in error.problems
    )
