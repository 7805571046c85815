"""The default configuration earns its place: on an emulated fleet, against what it replaces.

In virtual time, with the gateway's own scheduler and account, eight servers and a seeded workload
of questions on shared prefixes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pytest

from gateway.config.defaults import DEFAULT, REFERENCE_DEFAULT
from gateway.config.picker import EndpointPickerConfig
from gateway.datalayer.confidence import confidence
from gateway.datalayer.inflight import Credit, InFlight
from gateway.director.demand import demand
from gateway.plugins.catalog import CATALOG
from gateway.request.model import InferenceRequest
from gateway.scheduling.build import build
from gateway.scheduling.plugin_type import Settings
from load_tests.capacity import engine_request
from load_tests.emulator.engine import Engine, EngineRequest
from load_tests.emulator.profiles import PROFILES
from load_tests.emulator.virtual import FleetView, Observer, simulate
from load_tests.workload import Arrival, PrefixFree, Shape, SharedPrefix, text, warmed
from tests.builders import cycle, pool, request

SERVERS = 8
PROFILE = PROFILES["L4-8B"]
OUTPUT_TOKENS = 40


class Policy(Observer, Protocol):
    """Routes requests, and hears what became of them."""

    def __call__(self, request: EngineRequest, now: float, view: FleetView) -> int: ...


class RoundRobin:
    def __init__(self) -> None:
        self._turns = itertools.cycle(range(SERVERS))

    def __call__(self, request: EngineRequest, now: float, view: FleetView) -> int:
        return next(self._turns)

    def first_token(self, request: int, engine: int, now: float) -> None:
        pass

    def finished(self, request: int, engine: int, now: float) -> None:
        pass


class LeastRequest(RoundRobin):
    """As Envoy does it: two endpoints at random, the one with fewer requests in flight."""

    def __init__(self) -> None:
        self._busy = [0] * SERVERS
        self._rng = random.Random(1)

    def __call__(self, request: EngineRequest, now: float, view: FleetView) -> int:
        chosen = min(self._rng.sample(range(SERVERS), 2), key=self._busy.__getitem__)
        self._busy[chosen] += 1
        return chosen

    def finished(self, request: int, engine: int, now: float) -> None:
        self._busy[engine] -= 1


class Gateway:
    """The gateway's scheduler under one configuration, with its account of what is in flight."""

    def __init__(self, config: EndpointPickerConfig, prompts: Sequence[InferenceRequest]) -> None:
        settings = Settings(lambda observed_at, now: confidence(observed_at, now, 2.0))
        self._scheduler = build(config, CATALOG, settings, DEFAULT).scheduler
        self._state = pool(size=SERVERS, kv_blocks=float(PROFILE.kv_blocks))
        self._inflight = InFlight(lambda: self._state.columns)
        self._prompts = iter(prompts)
        self._credits: list[Credit] = []
        self._rng = random.Random(1)

    def __call__(self, request: EngineRequest, now: float, view: FleetView) -> int:
        columns = self._state.columns
        for slot, load in enumerate(view.loads):
            columns.waiting[slot], columns.running[slot] = load.waiting, load.running
            columns.kv_used[slot], columns.observed_at[slot] = load.kv_used, load.observed_at
        asked = cycle(self._state, request=next(self._prompts), now=now)
        asked.rng = self._rng
        decision = self._scheduler.schedule(asked, self._state.endpoints)
        self._scheduler.picked(asked, decision)
        endpoint = decision.endpoints[0]
        cost = demand(asked.request, asked.prefix, endpoint.slot, OUTPUT_TOKENS)
        self._credits.append(self._inflight.take(endpoint, cost.tokens, cost.prefill_tokens))
        return endpoint.slot

    def first_token(self, request: int, engine: int, now: float) -> None:
        self._inflight.first_token(self._credits[request])

    def finished(self, request: int, engine: int, now: float) -> None:
        self._inflight.give_back(self._credits[request])


def prompts(arrivals: Sequence[Arrival]) -> list[InferenceRequest]:
    return [
        request("".join(text(block) for message in a.messages for block in message.blocks))
        for a in arrivals
    ]


def first_token_times(arrivals: Sequence[Arrival], policy: Policy) -> list[float]:
    """Seconds to the first token of every request after the warm-up."""
    fleet = [Engine(PROFILE, rng=random.Random(index)) for index in range(SERVERS)]
    served = simulate(
        ((a.at_s, engine_request(a)) for a in arrivals), fleet, policy, observer=policy
    )
    return [s.ttft_s for s, a in zip(served, arrivals, strict=True) if not a.warmup]


def p99(times: Sequence[float]) -> float:
    return float(np.quantile(times, 0.99))


@pytest.fixture(scope="module")
def tails() -> dict[str, float]:
    """p99 time to first token, by policy, at three quarters of round robin's 8.9 a second."""
    arrivals = warmed(SharedPrefix(groups=48, prefix_tokens=3000), 6.7, 120, random.Random(1))
    asked = prompts(arrivals)
    policies: dict[str, Callable[[], Policy]] = {
        "round robin": RoundRobin,
        "least request": LeastRequest,
        "reference": lambda: Gateway(REFERENCE_DEFAULT, asked),
        "default": lambda: Gateway(DEFAULT, asked),
    }
    return {name: p99(first_token_times(arrivals, made())) for name, made in policies.items()}


def test_the_default_halves_round_robin_s_tail(tails: dict[str, float]) -> None:
    assert tails["default"] <= tails["round robin"] / 2


def test_the_default_is_below_least_request(tails: dict[str, float]) -> None:
    assert tails["default"] < tails["least request"]


def test_the_default_keeps_affinity_where_the_reference_does(tails: dict[str, float]) -> None:
    assert tails["default"] <= 1.1 * tails["reference"]


@pytest.mark.parametrize(
    ("shape", "rate"),
    [
        pytest.param(SharedPrefix(groups=1, prefix_tokens=3000), 24.0, id="one prefix for all"),
        pytest.param(PrefixFree(), 15.0, id="no prefix at all"),
    ],
)
def test_the_default_spreads_load_where_the_reference_herds(shape: Shape, rate: float) -> None:
    """Scores that change only with a scrape send a burst to one endpoint."""
    arrivals = warmed(shape, rate, 60, random.Random(1))
    asked = prompts(arrivals)
    ours, theirs = (
        p99(first_token_times(arrivals, Gateway(config, asked)))
        for config in (DEFAULT, REFERENCE_DEFAULT)
    )
    assert ours < 0.8 * theirs
