"""The scheduler: one request and the endpoints it may go to -> a decision. Synchronous, no IO.

It runs the producers, then the profiles that the handler asks for, and passes on to the plugins
that learn what became of it. The director calls it; it neither admits nor credits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from gateway.datalayer.state import Endpoint
from gateway.errors import NoEndpoint
from gateway.scheduling.failures import asked, told
from gateway.scheduling.profile import Profile
from gateway.scheduling.types import (
    Candidates,
    CatchesUp,
    Cycle,
    Decision,
    Forgetter,
    Learner,
    Producer,
    ProfileHandler,
    ProfileResult,
    ResponseHeaderPlugin,
)
from loadstar.arrays import Floats

Confidence: TypeAlias = Callable[[Floats, float], Floats]
"""(observed_at of each candidate, now) -> 0..1: how far what was scraped then is believed now."""


class Scheduler:
    """Profiles, the handler that chooses among them, and every plugin they use.

    ``plugins`` are all configured instances, in order; which of the protocols (Producer, Learner,
    Forgetter, CatchesUp, ResponseHeaderPlugin) one has decides what it is told.
    """

    def __init__(
        self,
        profiles: Iterable[Profile],
        handler: ProfileHandler,
        plugins: Iterable[object],
        confidence: Confidence,
    ) -> None:
        everyone = tuple(plugins)
        self._profiles: Mapping[str, Profile] = MappingProxyType({p.name: p for p in profiles})
        self._names = tuple(self._profiles)
        self._handler = handler
        self._confidence = confidence
        self._producers = tuple(p for p in everyone if isinstance(p, Producer))
        self._learners = tuple(p for p in everyone if isinstance(p, Learner))
        self._forgetters = tuple(p for p in everyone if isinstance(p, Forgetter))
        self._followers = tuple(p for p in everyone if isinstance(p, CatchesUp))
        self._announcers = tuple(p for p in everyone if isinstance(p, ResponseHeaderPlugin))

    @property
    def profiles(self) -> Mapping[str, Profile]:
        return self._profiles

    def schedule(self, cycle: Cycle, endpoints: tuple[Endpoint, ...]) -> Decision:
        """Choose among ``endpoints`` (of ``cycle.state``): best first.

        Fills in ``cycle.prefix`` and whatever else producers find out. Takes nothing: the caller
        credits the first endpoint, then calls ``picked``.

        Raises:
            NoEndpoint: ``endpoints`` is empty.
            NothingFits: the profile's filters dropped every one.
        """
        if not endpoints:
            raise NoEndpoint("no endpoint is ready")
        candidates = self._candidates(cycle, endpoints)
        for producer in self._producers:
            asked(cycle.failures, producer, "produce", producer.produce, cycle)
        done: dict[str, ProfileResult] = {}
        while names := self._handler.profiles(cycle, self._names, done):
            for name in names:
                done[name] = self._profiles[name].run(cycle, candidates)
        return self._handler.decide(cycle, done)

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        """``decision`` is being carried out: let plugins learn from it."""
        for learner in self._learners:
            told(cycle.failures, learner, "picked", learner.picked, cycle, decision)

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        """``endpoint``, and not the first of ``decision``, has served the request."""
        for learner in self._learners:
            told(cycle.failures, learner, "served", learner.served, cycle, decision, endpoint)

    def left(self, endpoint: Endpoint) -> None:
        """``endpoint`` is no longer in the pool; its slot may become another's."""
        for forgetter in self._forgetters:
            forgetter.left(endpoint)

    def catch_up(self) -> None:
        """Let plugins learn what other workers did."""
        for follower in self._followers:
            follower.catch_up()

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
        """Headers for the client's response, now that ``endpoint`` answers."""
        headers: list[tuple[str, str]] = []
        for announcer in self._announcers:
            announce = announcer.response_headers
            headers += (
                told(cycle.failures, announcer, "response-headers", announce, cycle, endpoint) or ()
            )
        return tuple(headers)

    def _candidates(self, cycle: Cycle, endpoints: tuple[Endpoint, ...]) -> Candidates:
        state = cycle.state
        if endpoints is state.endpoints:
            slots = state.slots
        else:
            slots = np.array([endpoint.slot for endpoint in endpoints], np.int64)
        columns = state.columns
        confidence = self._confidence(columns.observed_at[slots], cycle.now)
        # One array type for every kernel: another would be compiled again, on the first request.
        return Candidates(endpoints, slots, columns, np.ascontiguousarray(confidence, np.float64))
