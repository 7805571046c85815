"""The director: routes a request, follows it to its end, and gives back what it took.

Synchronous: one call per thing that happens to a stream, made by whoever hosts the session.
It knows neither Envoy nor HTTP framing, and chooses nothing itself: intent, candidates and choice
are asked for in turn.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.admission.outlier import Breakers, is_failure
from gateway.datalayer.inflight import Credit, InFlight
from gateway.datalayer.state import Endpoint, PoolState
from gateway.director.choosing import Choice, Chooser
from gateway.director.demand import OutputLengths, demand
from gateway.director.failures import PluginFailures
from gateway.director.intent import Intent, check, read, read_headers
from gateway.director.measures import Measures, Traffic
from gateway.director.paces import Pace
from gateway.director.policy import Policy
from gateway.director.subset import Addresses
from gateway.director.unfollowed import Unfollowed, follows
from gateway.errors import NoEndpoint, Refusal
from gateway.request.model import Ending, Headers, InferenceRequest, Outcome, Route
from gateway.request.model_rules import ModelRewrite
from gateway.scheduling.failures import told
from loadstar.clock import Clock

PROMPT_BYTES_KEPT = 4096
"""Of a prompt, until its response begins: less costs more to let go than to keep."""
NO_HEADERS: tuple[tuple[str, str], ...] = ()


class Store(Protocol):
    """The pool as it is now; read anew for every request."""

    @property
    def state(self) -> PoolState: ...

    @property
    def objectives(self) -> Mapping[str, int]:
        """Objective name -> priority."""
        ...

    @property
    def rewrites(self) -> Sequence[ModelRewrite]: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """The process flags that concern the director."""

    emit_scores: bool = False
    """``--emit-endpoint-scores``: put the candidates' scores into ``Route.scores``."""
    subset_filter: bool = True
    """False (``--disable-endpoint-subset-filter``) ignores the proxy's subset hint."""


DEFAULTS = Settings()


@dataclass(slots=True)
class Live:
    """A routed request that has not ended."""

    traffic: Traffic
    credit: Credit
    choice: Choice | None
    """None once the response has begun: what it holds (prefix matches) is not needed any more."""
    routed_at: float
    streamed: bool
    """The client asked for a stream, or the answer's headers say that it is one."""
    expected_output: int
    """Tokens, estimated at pick time."""
    responding_at: float | None = None
    status: int | None = None
    first_token_at: float | None = None


class Director:
    """Routes requests over one pool and follows them. One thread; nothing here waits."""

    def __init__(
        self,
        *,
        store: Store,
        policy: Callable[[], Policy],
        inflight: InFlight,
        measures: Measures,
        clock: Clock,
        rng: random.Random,
        settings: Settings = DEFAULTS,
    ) -> None:
        self._store = store
        self._inflight = inflight
        self._measures = measures
        self._rng = rng
        self._settings = settings
        self._outputs = OutputLengths()
        self._unfollowed = Unfollowed(inflight)
        self._breakers = Breakers()
        self._failures = PluginFailures(measures)
        self._chooser = Chooser(
            policy=policy,
            breakers=self._breakers,
            failures=self._failures,
            measures=measures,
            clock=clock,
            rng=rng,
        )
        self._epoch: int | None = None
        self._known: Addresses | None = None
        self._live: dict[int, Live] = {}
        self._last_ticket = 0

    @property
    def live(self) -> int:
        """Requests routed and not yet ended."""
        return len(self._live)

    @property
    def lingering(self) -> int:
        """Answers let go at their headers that are taken to be under way still."""
        return len(self._unfollowed)

    def admit_early(self, headers: Headers, subset: tuple[str, ...] | None, now: float) -> None:
        """Let a request's body come, unless its headers alone say that ``route`` will refuse it.

        Raises:
            NoEndpoint: the pool is empty, or the subset is empty or matches none of it.
            Shed: the candidates are saturated and the request's priority is negative.
        """
        objectives = self._store.objectives
        try:
            state = self._current()
            candidates = self._candidates(state, subset)
            if objectives:
                priority = read_headers(headers, objectives).priority
                self._chooser.admit(priority, state, candidates, now)
        except Refusal as refusal:
            self._measures.refused(read_headers(headers, objectives), refusal.code)
            raise

    def route(self, request: InferenceRequest, subset: tuple[str, ...] | None, now: float) -> Route:
        """Where ``request`` goes. Whoever gets a route owes one ``finish`` of its ticket.

        ``subset`` is the proxy's hint: None is none given, empty is nothing allowed. A request
        that is routed on its headers alone goes the same way as any other.

        Raises:
            NoEndpoint: the pool is empty, or the subset is empty or matches none of it.
            Shed: the candidates are saturated and the request's priority is negative.
            NothingFits: the profile's filters dropped every candidate.
            BadRequest: a control header cannot be used.
        """
        self._unfollowed.sweep(now)
        intent = read(request, self._store.objectives, self._store.rewrites, self._rng)
        traffic = intent.traffic
        if intent.rule is not None:
            self._measures.rewritten(intent.rule, traffic.model, traffic.target_model)
        try:
            check(intent)
            state = self._current()
            candidates = self._candidates(state, subset)
            choice = self._chooser.choose(request, intent, state, candidates, now)
        except Refusal as refusal:
            self._measures.refused(traffic, refusal.code)
            raise
        decision = choice.decision
        result = decision.results.get(decision.profile) if self._settings.emit_scores else None
        return Route(
            destinations=tuple([e.destination for e in decision.endpoints]),
            ticket=self._follow(request, intent, choice, now),
            rewrite_to=intent.rewrite_to,
            request_headers=decision.request_headers,
            scores=None if result is None else result.scores,
            # A renamed model has to be named back.
            follow=intent.rewrite_to is not None or follows(choice.processing, self._rng),
        )

    def responding(
        self,
        ticket: int,
        status: int | None,
        served: str | None,
        now: float,
        *,
        streamed: bool = False,
    ) -> tuple[tuple[str, str], ...]:
        """The response has begun: headers to add to it. Later calls for a ticket change nothing.

        ``served`` is the endpoint that the proxy says it used. When that is another one of the
        pool, the credit and what schedulers have learnt move there; a stranger changes nothing.
        ``streamed`` tells of requests that were routed by their headers, their bodies unread.
        """
        live = self._live.get(ticket)
        if live is None or live.choice is None:
            return NO_HEADERS
        choice, live.choice, live.status = live.choice, None, status
        live.streamed = live.streamed or streamed
        live.responding_at = now
        first = live.credit.endpoint
        server = self._server(first, served)
        if server is None:
            self._measures.served_elsewhere(False)
            server = first  # its headers are still the best answer; its health is not judged
        else:
            if server.slot != first.slot:
                self._served_elsewhere(live.credit, choice, server, now)
            self._judge(server, status, now)
        scheduler = choice.scheduler
        announce = scheduler.response_headers
        added = told(self._failures, scheduler, "response-headers", announce, choice.cycle, server)
        return NO_HEADERS if added is None else tuple(added)

    def first_token(self, ticket: int, now: float) -> None:
        """The first piece of the response body has passed: prefill is over."""
        live = self._live.get(ticket)
        if live is None or live.first_token_at is not None:
            return
        live.first_token_at = now
        self._inflight.first_token(live.credit)
        if live.status is None or 200 <= live.status < 300:
            self._measures.first_token(live.traffic, now - live.routed_at, live.streamed)

    def finish(self, ticket: int, outcome: Outcome, now: float) -> None:
        """The stream has ended, however it ended. A second call for a ticket does nothing."""
        live = self._live.pop(ticket, None)
        if live is None:
            return
        status = live.status if outcome.status is None else outcome.status
        if outcome.ending is Ending.LET_GO and _goes_on(live, outcome, status):
            model = live.traffic.target_model
            self._unfollowed.linger(live.credit, model, live.expected_output, now)
        else:
            self._inflight.give_back(live.credit)
        if live.choice is not None:  # ``responding`` was never told: this is the first news
            self._judge(live.credit.endpoint, status, now)
        usage = outcome.usage
        if outcome.ending is Ending.COMPLETE and usage.output_tokens is not None:
            self._outputs.observe(live.traffic.target_model, usage.output_tokens)
        self._learn_pace(live, outcome, now)
        self._measures.live(len(self._live))
        self._measures.finished(
            live.traffic,
            ending=outcome.ending.value,
            status=status,
            seconds=now - live.routed_at,
            seconds_per_output_token=_seconds_per_output_token(live, outcome, now),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            response_bytes=outcome.response_bytes,
            streamed=outcome.streamed,
        )

    def settle(self, now: float) -> None:
        """Give back what lingers beyond its time, or beyond what endpoints say of themselves.

        For when no request comes that would do it; about once a second is enough.
        """
        self._unfollowed.settle(self._store.state.columns, self._streaming, now)

    def _streaming(self, before: Mapping[int, float]) -> Mapping[int, int]:
        """Followed streams that were answering before the time given for their slot, per slot."""
        counts: Counter[int] = Counter()
        for live in self._live.values():
            slot = live.credit.endpoint.slot
            if live.streamed and live.responding_at is not None:
                counts[slot] += live.responding_at < before.get(slot, -math.inf)
        return counts

    def _learn_pace(self, live: Live, outcome: Outcome, now: float) -> None:
        """What a followed answer says of how long the others take.

        Where its usage is not said, the expected output stands for it: a pace that is wrong by
        the same factor as the expectation gives the right duration.
        """
        if outcome.ending is not Ending.COMPLETE or not outcome.streamed:
            return
        tokens = outcome.usage.output_tokens
        if tokens is None:
            tokens = live.expected_output
        if live.responding_at is None or live.first_token_at is None or tokens < 2:
            return
        until_first = live.first_token_at - live.responding_at
        per_token = (now - live.first_token_at) / (tokens - 1)
        self._unfollowed.learn(live.credit, live.traffic.target_model, Pace(until_first, per_token))

    def _candidates(self, state: PoolState, subset: tuple[str, ...] | None) -> tuple[Endpoint, ...]:
        if not state.endpoints:
            raise NoEndpoint("the pool has no ready endpoint")
        if subset is None or not self._settings.subset_filter:
            return state.endpoints
        candidates = self._addresses(state).among(subset)
        if not candidates:
            raise NoEndpoint("no ready endpoint is in the subset that the proxy allows")
        return candidates

    def _current(self) -> PoolState:
        """The pool's state; a new epoch drops what was known of the last one's members."""
        state = self._store.state
        if state.epoch != self._epoch:
            self._epoch = state.epoch
            self._known = None
            self._breakers.keep(state.by_destination.keys())
        return state

    def _addresses(self, state: PoolState) -> Addresses:
        if self._known is None:  # built when first needed: most requests carry no hint
            self._known = Addresses(state)
        return self._known

    def _follow(self, request: InferenceRequest, intent: Intent, choice: Choice, now: float) -> int:
        """Carry the choice out: tell the plugins, take credit. The ticket gives it back."""
        first, cycle = choice.decision.endpoints[0], choice.cycle
        expected_output = self._outputs.expected(intent.traffic.target_model)
        cost = demand(request, cycle.prefix, first.slot, expected_output)
        scheduler = choice.scheduler
        told(self._failures, scheduler, "picked", scheduler.picked, cycle, choice.decision)
        if request.body is not None and request.body.prompt_bytes > PROMPT_BYTES_KEPT:
            # The prompt may be megabytes and the stream may last minutes: let it go.
            cycle.request = replace(request, body=replace(request.body, prompt=()))
        self._measures.routed(intent.traffic, request.body_bytes)
        self._measures.live(len(self._live) + 1)
        # Nothing may fail from here on: what is taken has its ticket, and the caller gets it.
        self._last_ticket += 1
        self._live[self._last_ticket] = Live(
            traffic=intent.traffic,
            credit=self._inflight.take(first, cost.tokens, cost.prefill_tokens),
            choice=choice,
            routed_at=now,
            streamed=request.body is not None and request.body.stream,
            expected_output=cost.tokens - cost.prefill_tokens,
        )
        return self._last_ticket

    def _server(self, first: Endpoint, served: str | None) -> Endpoint | None:
        """Who served: the first pick unless the proxy says otherwise; None is a stranger."""
        if not served or served == first.destination:
            return first
        state = self._current()
        return state.by_destination.get(served) or self._addresses(state).find(served)

    def _served_elsewhere(
        self, credit: Credit, choice: Choice, server: Endpoint, now: float
    ) -> None:
        self._measures.served_elsewhere(True)
        self._breakers.failed(credit.endpoint, now)
        self._inflight.move(credit, server)
        scheduler = choice.scheduler
        told(
            self._failures,
            scheduler,
            "served",
            scheduler.served,
            choice.cycle,
            choice.decision,
            server,
        )

    def _judge(self, endpoint: Endpoint, status: int | None, now: float) -> None:
        if status is None:
            return
        if is_failure(status):
            self._breakers.failed(endpoint, now)
        else:
            self._breakers.answered(endpoint)


def _goes_on(live: Live, outcome: Outcome, status: int | None) -> bool:
    """Whether the endpoint works on after the headers: an answer in one piece is complete by
    then, and an error is no work."""
    successful = status is not None and 200 <= status < 300
    return successful and (live.streamed or outcome.streamed)


def _seconds_per_output_token(live: Live, outcome: Outcome, now: float) -> float | None:
    """TPOT: (end - first token) / (output tokens - 1); None where a part of it is not known."""
    tokens = outcome.usage.output_tokens
    if not outcome.streamed or live.first_token_at is None or tokens is None or tokens < 2:
        return None
    return (now - live.first_token_at) / (tokens - 1)
