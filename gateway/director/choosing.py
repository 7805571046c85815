"""From an intent and its candidates to a decision: admission, circuit breaker, scheduling.

A bug in a plugin costs its opinion, never the request (``scheduling.failures``); when the
scheduler itself fails, the least busy candidate is taken. Called by the director.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from gateway.admission.outlier import Breakers
from gateway.admission.sheddable import admit, sheddable
from gateway.config.picker import ResponseProcessing
from gateway.datalayer.state import Endpoint, PoolState, pool_state
from gateway.director.failures import PluginFailures
from gateway.director.intent import Intent
from gateway.director.measures import Measures
from gateway.director.policy import Policy, Scheduler
from gateway.errors import NothingFits
from gateway.request.model import InferenceRequest
from gateway.scheduling.failures import asked, told
from gateway.scheduling.types import Cycle, Decision, SaturationDetector
from loadstar.clock import Clock
from loadstar.records import record

LEAST_BUSY = "least-busy"
"""Name of the profile that answers when the configured one is broken."""


@record
class Choice:
    """A decision, what it was made of, how far to follow it, and who is to hear of it."""

    scheduler: Scheduler
    processing: ResponseProcessing
    cycle: Cycle
    decision: Decision


class Chooser:
    """Decides for one request among given candidates, under the policy of the moment."""

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        breakers: Breakers,
        failures: PluginFailures,
        measures: Measures,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._policy = policy
        self._breakers = breakers
        self._failures = failures
        self._measures = measures
        self._clock = clock
        self._rng = rng

    def choose(
        self,
        request: InferenceRequest,
        intent: Intent,
        state: PoolState,
        candidates: tuple[Endpoint, ...],
        now: float,
    ) -> Choice:
        """Choose among ``candidates``, at least one, all of ``state``.

        Raises:
            Shed: the candidates are saturated and the request may be dropped.
            NothingFits: the filters dropped every candidate.
        """
        policy = self._policy()
        priority = intent.traffic.priority
        if sheddable(priority):
            self._admit(policy, priority, state, candidates, now)
        cycle = Cycle(
            request=request,
            target_model=intent.target_model,
            priority=priority,
            state=state,
            now=now,
            rng=self._rng,
            failures=self._failures,
        )
        trusted = self._breakers.trusted(candidates, now)
        self._measures.avoided(len(candidates) - len(trusted))
        started = self._clock.now()
        chosen: tuple[str, str, int] = ("", "", 0)
        try:
            decision = self._schedule(policy.scheduler, cycle, candidates, trusted)
            first = decision.endpoints[0]
            chosen = (first.name, first.namespace, first.port)
        finally:
            seconds = self._clock.now() - started
            self._measures.scheduled(seconds, intent.traffic.target_model, *chosen)
        self._breakers.picked(first, now)
        return Choice(policy.scheduler, policy.response_processing, cycle, decision)

    def admit(
        self, priority: int, state: PoolState, candidates: tuple[Endpoint, ...], now: float
    ) -> None:
        """Let a request of ``priority`` among ``candidates`` pass. Raises Shed."""
        if sheddable(priority):
            self._admit(self._policy(), priority, state, candidates, now)

    def _admit(
        self,
        policy: Policy,
        priority: int,
        state: PoolState,
        candidates: tuple[Endpoint, ...],
        now: float,
    ) -> None:
        admit(priority, self._saturation(policy.saturation, state, candidates, now))

    def _schedule(
        self,
        scheduler: Scheduler,
        cycle: Cycle,
        candidates: tuple[Endpoint, ...],
        trusted: tuple[Endpoint, ...],
    ) -> Decision:
        """The scheduler's decision among ``trusted``, or among all if none of those fits."""
        decision = asked(
            self._failures, scheduler, "schedule", scheduled, scheduler, cycle, candidates, trusted
        )
        return least_busy(cycle, trusted) if decision is None else decision

    def _saturation(
        self,
        detector: SaturationDetector,
        state: PoolState,
        candidates: tuple[Endpoint, ...],
        now: float,
    ) -> float:
        """Saturation of the candidates; 0, which sheds nobody, from a detector that raises."""
        seen = narrowed(state, candidates)
        saturation = told(self._failures, detector, "saturation", detector.saturation, seen, now)
        return 0.0 if saturation is None else saturation


def scheduled(
    scheduler: Scheduler,
    cycle: Cycle,
    candidates: tuple[Endpoint, ...],
    trusted: tuple[Endpoint, ...],
) -> Decision:
    """As ``Chooser.choose`` wants it. Raises NothingFits, and whatever the scheduler does."""
    try:
        decision = scheduler.schedule(cycle, trusted)
    except NothingFits:
        if len(trusted) == len(candidates):
            raise
        decision = scheduler.schedule(cycle, candidates)
    if not decision.endpoints:
        raise NothingFits("the scheduling profile picked no endpoint")
    return decision


def narrowed(state: PoolState, endpoints: tuple[Endpoint, ...]) -> PoolState:
    """``state`` with no members but ``endpoints``, over the same columns."""
    if len(endpoints) == len(state.endpoints):
        return state
    return pool_state(state.epoch, endpoints, state.columns)


def least_busy(cycle: Cycle, endpoints: Sequence[Endpoint]) -> Decision:
    """The endpoint with the fewest requests of ours in flight; chance decides among equals."""
    busy = cycle.state.columns.inflight_requests
    fewest = min(busy[e.slot] for e in endpoints)
    idlest = [e for e in endpoints if busy[e.slot] == fewest]
    return Decision(endpoints=(cycle.rng.choice(idlest),), profile=LEAST_BUSY)
