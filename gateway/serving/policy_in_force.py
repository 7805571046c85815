"""The EndpointPickerConfig in force, and its replacement by another.

A good new one takes over between two requests; requests under way end under the rules they began
with. A bad one changes nothing and is reported with the place that is wrong. What a new scheduler
has to learn (prefixes, sessions) it learns anew. Where texts come from is not known here:
``policy_file``, ``policy_watch`` and ``policy_board`` bring them, one of them in each process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from gateway.datalayer.store import Datastore
from gateway.director import Policy
from gateway.scheduling.build import Built
from gateway.serving.policy_given import Given, Origin, Refusal
from gateway.serving.scraping import Scraping
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError, Problem

MAX_PROBLEMS = 50
"""Of one refusal, kept to be shown; the log has the same ones."""

log = logging.getLogger(__name__)


class Unusable(ConfigError):
    """The configuration to begin with cannot be used, so there is nothing to serve with."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that a configuration changes while the process runs, made and not yet in force."""

    built: Built
    scraping: Scraping | None = None
    """How model servers are scraped, if they are."""


class PolicySource(Protocol):
    """Where new texts come from."""

    async def run(self, policy: PolicyInForce) -> None:
        """Bring each new text to ``policy``, until cancelled."""
        ...


class PolicyInForce:
    """What the configuration says now."""

    def __init__(
        self,
        given: Given,
        *,
        load: Callable[[bytes], Loaded],
        measured: Callable[[Built], Policy],
        store: Datastore,
        taken: Callable[[Given, Loaded], None],
        refused: Callable[[Refusal], None],
        clock: Clock,
        fallback: Given | None = None,
    ) -> None:
        """``load`` makes something of a text, or raises ConfigError, and may take long.

        ``measured`` makes the policy that requests are given; ``taken`` and ``refused`` hear of
        what comes after ``given``. If that is bad, ``fallback`` is in force and ``given`` refused;
        without one it raises Unusable.
        """
        self._load = partial(_loaded, load)
        self._measured = measured
        self._store = store
        self._taken = taken
        self._refused = refused
        self._clock = clock
        self.given = given
        """What is in force."""
        wrong: ConfigError | None = None
        try:
            self.loaded = self._load(given.text)
        except ConfigError as error:
            if fallback is None:
                raise Unusable(error.problems) from error
            self.given, self.loaded, wrong = fallback, self._load(fallback.text), error
        self._policy = measured(self.loaded.built)
        self._stop_forgetting = store.on_left(self.loaded.built.scheduler.left)
        self._newest = given.text
        self.since = clock.wall()
        """Unix seconds at which it took over."""
        self.refusal: Refusal | None = None
        """The last one; it stands if it is younger than ``since``."""
        self.standing = False
        """Whether the newest text was refused, and an older one is in force."""
        if wrong is not None:
            self._refuse(given.origin, wrong)

    @property
    def built(self) -> Built:
        """What is in force, as it was built."""
        return self.loaded.built

    def current(self) -> Policy:
        """The policy for a request that comes now."""
        return self._policy

    async def take(self, given: Given) -> bool:
        """Put ``given`` in force if that is new and good; whether it is in force then."""
        if given.text == self.given.text:
            self.given, self._newest = given, given.text  # the same text, perhaps a newer version
            if self.standing:
                self.standing = False
                self._taken(given, self.loaded)
            return True
        if self.standing and given.text == self._newest:
            return False  # refused already, and said
        self._newest = given.text
        try:
            # In a thread: plugins are built and kernels compiled while requests go on.
            loaded = await asyncio.to_thread(self._load, given.text)
        except ConfigError as error:
            self._refuse(given.origin, error)
            return False
        self._tell(given.origin, loaded)
        self._stop_forgetting()
        self._stop_forgetting = self._store.on_left(loaded.built.scheduler.left)
        self.loaded, self._policy = loaded, self._measured(loaded.built)
        self.given, self.since, self.standing = given, self._clock.wall(), False
        self._taken(given, loaded)
        log.info("%s taken", given.origin, extra={"sha256": given.sha256})
        return True

    def refuse(self, origin: Origin, error: ConfigError) -> None:
        """Say that ``origin`` gave no text at all: gone, unreadable, without the key."""
        problems = error.problems[:MAX_PROBLEMS]
        if self.standing and self.refusal is not None and self.refusal.problems == problems:
            return
        self._newest = b""
        self._refuse(origin, error)

    def _refuse(self, origin: Origin, error: ConfigError) -> None:
        more = len(error.problems) - MAX_PROBLEMS
        problems = error.problems[:MAX_PROBLEMS]
        if more > 0:
            problems = (*problems, Problem("", f"and {more} more"))
        self.refusal, self.standing = Refusal(self._clock.wall(), origin, problems), True
        for problem in problems:
            log.error("%s not taken, %s stays in force: %s", origin, self.given.origin, problem)
        self._refused(self.refusal)

    def _tell(self, origin: Origin, loaded: Loaded) -> None:
        """What an operator should know of the change."""
        old, new = self.built, loaded.built
        if new.data_layer.discovery != old.data_layer.discovery:
            log.warning("%s: dataLayer.discovery takes effect at the next start", origin)
        if (loaded.scraping is None) != (self.loaded.scraping is None):
            log.warning("%s: whether to scrape at all takes effect at the next start", origin)
        if new.report_served != old.report_served:
            log.warning("%s: reporting who served takes effect at the next start", origin)
        for notice in new.notices:
            log.warning("%s: %s", origin, notice)


def _loaded(load: Callable[[bytes], Loaded], text: bytes) -> Loaded:
    """What ``load`` makes of ``text``. Raises ConfigError, whatever it stumbles over.

    A fault of ours in reading a text must not end a process that serves: every gateway of a fleet
    is given the same text at the same moment.
    """
    try:
        return load(text)
    except ConfigError:
        raise
    except Exception as broken:  # The rim: the one place where texts from outside are tried.
        log.exception("a configuration could not be read")
        what = f"the gateway failed to read it ({type(broken).__name__}), which is a fault of ours"
        raise ConfigError.of("", what) from broken
