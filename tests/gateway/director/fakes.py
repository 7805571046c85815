"""A pool, a policy and a record of measures, for tests of the director. They behave; no mocks."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.config.picker import ResponseProcessing
from gateway.datalayer.inflight import InFlight
from gateway.datalayer.state import Endpoint, PoolState, pool_state
from gateway.director import Director, Settings
from gateway.errors import NothingFits
from gateway.request.model import InferenceRequest
from gateway.request.model_rules import ModelRewrite
from gateway.scheduling.types import Cycle, Decision, PrefixMatch, ProfileResult
from tests import builders
from tests.fakes.clock import ManualClock


@dataclass(slots=True)
class FakeStore:
    """What the director reads of a store."""

    state: PoolState
    objectives: Mapping[str, int] = field(default_factory=dict)
    rewrites: Sequence[ModelRewrite] = ()

    def becomes(self, *endpoints: Endpoint) -> None:
        """A new epoch with these members, over the same columns."""
        self.state = pool_state(self.state.epoch + 1, endpoints, self.state.columns)


@dataclass(slots=True)
class InOrder:
    """A scheduler that takes the first ``most`` endpoints for which ``fits``, in pool order.

    ``fails_at`` names the points at which it raises, as a plugin with a bug would.
    """

    most: int = 1
    fits: Callable[[Endpoint], bool] = lambda endpoint: True
    prefix: PrefixMatch | None = None
    fails_at: frozenset[str] = frozenset()
    request_headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    clock: ManualClock = field(default_factory=ManualClock)
    cycles: list[Cycle] = field(default_factory=list)
    learnt: list[tuple[str, str]] = field(default_factory=list)
    """(picked | served, endpoint's name), as told."""

    def schedule(self, cycle: Cycle, endpoints: tuple[Endpoint, ...]) -> Decision:
        self.clock.advance(self.seconds)
        self._stumble("schedule")
        self.cycles.append(cycle)
        cycle.prefix = self.prefix
        fitting = tuple(e for e in endpoints if self.fits(e))
        if not fitting:
            raise NothingFits("none fits")
        result = ProfileResult(fitting, {e.destination: 1.0 / (e.slot + 1) for e in endpoints})
        return Decision(fitting[: self.most], "only", {"only": result}, self.request_headers)

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        self._stumble("picked")
        self.learnt.append(("picked", decision.endpoints[0].name))

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        self._stumble("served")
        self.learnt.append(("served", endpoint.name))

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        self._stumble("response-headers")
        return [("x-session-token", endpoint.name)]

    def _stumble(self, point: str) -> None:
        if point in self.fails_at:
            raise ZeroDivisionError(point)


@dataclass(slots=True)
class Saturation:
    """A detector that says ``level``, and remembers whom it was asked about."""

    level: float | Exception = 0.0
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def saturation(self, state: PoolState, now: float) -> float:
        self.asked.append(tuple(e.name for e in state.endpoints))
        if isinstance(self.level, Exception):
            raise self.level
        return self.level


@dataclass(slots=True)
class FakePolicy:
    scheduler: InOrder = field(default_factory=InOrder)
    saturation: Saturation = field(default_factory=Saturation)
    response_processing: ResponseProcessing = field(default_factory=ResponseProcessing)


class Recorded:
    """Measures as a list of what was said, in order: (name, *arguments)."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def of(self, name: str) -> list[tuple[object, ...]]:
        """The arguments of every call of ``name``."""
        return [entry[1:] for entry in self.said if entry[0] == name]

    def routed(self, traffic: tuple[str, str, str, int], request_bytes: int) -> None:
        self.said.append(("routed", tuple(traffic), request_bytes))

    def refused(self, traffic: tuple[str, str, str, int], code: str) -> None:
        self.said.append(("refused", tuple(traffic), code))

    def rewritten(self, rule: str, model: str, target_model: str) -> None:
        self.said.append(("rewritten", rule, model, target_model))

    def scheduled(
        self, seconds: float, target_model: str, pod: str, namespace: str, port: int
    ) -> None:
        self.said.append(("scheduled", seconds, target_model, pod, namespace, port))

    def first_token(
        self, traffic: tuple[str, str, str, int], seconds: float, streamed: bool
    ) -> None:
        self.said.append(("first_token", tuple(traffic), seconds, streamed))

    def finished(
        self,
        traffic: tuple[str, str, str, int],
        *,
        ending: str,
        status: int | None,
        seconds: float,
        seconds_per_output_token: float | None,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_tokens: int | None,
        response_bytes: int,
        streamed: bool,
    ) -> None:
        self.said.append(
            ("finished", tuple(traffic), ending, status, seconds, seconds_per_output_token)
        )

    def served_elsewhere(self, known: bool) -> None:
        self.said.append(("served_elsewhere", known))

    def plugin_failed(self, plugin: str, point: str) -> None:
        self.said.append(("plugin_failed", plugin, point))

    def live(self, requests: int) -> None:
        self.said.append(("live", requests))

    def avoided(self, endpoints: int) -> None:
        self.said.append(("avoided", endpoints))


@dataclass(slots=True)
class Stage:
    """A director and everything around it, within a test's reach."""

    store: FakeStore
    policy: FakePolicy
    measures: Recorded
    director: Director

    def inflight(self) -> list[tuple[int, int, int]]:
        """(requests, tokens, prefill tokens) of every slot."""
        columns = self.store.state.columns
        return list(
            zip(
                columns.inflight_requests.tolist(),
                columns.inflight_tokens.tolist(),
                columns.inflight_prefill.tolist(),
                strict=True,
            )
        )

    def requests(self) -> list[int]:
        """Requests in flight on every slot."""
        return [requests for requests, _, _ in self.inflight()]


def stage(
    state: PoolState | None = None,
    *,
    objectives: Mapping[str, int] | None = None,
    rewrites: Sequence[ModelRewrite] = (),
    scheduler: InOrder | None = None,
    saturation: float | Exception = 0.0,
    response_processing: ResponseProcessing | None = None,
    settings: Settings | None = None,
    seed: int = 1,
) -> Stage:
    """A director over ``state``, else over three endpoints with nothing in flight."""
    store = FakeStore(builders.pool() if state is None else state, objectives or {}, rewrites)
    policy = FakePolicy(
        scheduler or InOrder(),
        Saturation(saturation),
        response_processing or ResponseProcessing(),
    )
    measures = Recorded()
    director = Director(
        store=store,
        policy=lambda: policy,
        inflight=InFlight(lambda: store.state.columns),
        measures=measures,
        clock=policy.scheduler.clock,
        rng=random.Random(seed),
        settings=settings or Settings(),
    )
    return Stage(store, policy, measures, director)


def rewritable(request: InferenceRequest) -> InferenceRequest:
    """``request`` with the place of its model known, so that it can be rewritten."""
    if request.body is None:
        raise ValueError("a request without a body cannot be rewritten")
    return replace(request, body=replace(request.body, model_span=(10, 17)))
