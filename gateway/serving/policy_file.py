"""The EndpointPickerConfig in force, and its replacement when the file changes.

A good new one takes over between two requests; requests under way end under the rules they began
with. A bad one changes nothing and is reported with the place that is wrong. What a new scheduler
has to learn (prefixes, sessions) it learns anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from gateway.datalayer.store import Datastore
from gateway.director import Policy
from gateway.scheduling.build import Built
from loadstar.aio.changes import Changes
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError

log = logging.getLogger(__name__)


class PolicyFile:
    """What the configuration says now; ``run`` follows the file."""

    def __init__(
        self,
        path: str,
        text: bytes,
        *,
        load: Callable[[bytes], Built],
        measured: Callable[[Built], Policy],
        store: Datastore,
        on_reload: Callable[[bool], None],
        clock: Clock,
    ) -> None:
        """``text`` is what ``path`` says now, or what stands in its place where that is "".

        ``load`` makes something of it, or raises ConfigError, and may take long; ``measured``
        makes the policy that requests are given.
        """
        self._path = Path(path) if path else None
        self._load = load
        self._measured = measured
        self._store = store
        self._on_reload = on_reload
        self._clock = clock
        self._changes = Changes([] if self._path is None else [self._path])
        self.built = load(text)
        self._policy = measured(self.built)
        self._stop_forgetting = store.on_left(self.built.scheduler.left)
        self.text = text
        """What is in force."""
        self.since = clock.wall()
        """Unix seconds at which the current policy took over."""

    def current(self) -> Policy:
        """The policy for a request that comes now."""
        return self._policy

    async def run(self) -> None:
        """Take changes as they come, until cancelled; without a file there is nothing to do."""
        if self._path is None:
            return
        while True:
            await self.take(self._path)
            await self._changes.next()

    async def take(self, path: Path) -> None:
        """Read the file and put what it says in force, if that is new and good."""
        try:
            text = await asyncio.to_thread(path.read_bytes)
            if text == self.text:
                return
            # In a thread: plugins are built and kernels compiled while requests go on.
            built = await asyncio.to_thread(self._load, text)
        except (ConfigError, OSError) as error:
            self._on_reload(False)
            for line in str(error).splitlines():
                log.error("%s not taken, the last good one stays: %s", path, line)
            return
        if built.data_layer != self.built.data_layer:
            log.warning("%s: changes of dataLayer take effect at the next start", path)
        for notice in built.notices:
            log.warning("%s: %s", path, notice)
        self._stop_forgetting()
        self._stop_forgetting = self._store.on_left(built.scheduler.left)
        self.built, self._policy = built, self._measured(built)
        self.text, self.since = text, self._clock.wall()
        self._on_reload(True)
        log.info("%s taken", path)
