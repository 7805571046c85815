"""A fleet of engines in virtual time: arrivals and a routing function in, latencies out.

Pure and exact: between two arrivals each engine runs by itself, so no event queue is needed. This
is what policies and weights are compared on, thousands of requests a second. No network, no
gateway: only the decision and its consequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from load_tests.emulator.engine import Engine, EngineRequest, Generation, Step

SCRAPE_EVERY_S = 0.05
"""How often a router reads a model server's metrics: the field's default."""


@dataclass(frozen=True, slots=True)
class ScrapedLoad:
    """What one engine's metrics page said at ``observed_at``."""

    waiting: int
    running: int
    kv_used: float
    """0..1"""
    observed_at: float


@dataclass(frozen=True, slots=True)
class FleetView:
    """What a router may know of the fleet: the last scrape of each engine."""

    loads: Sequence[ScrapedLoad]
    """One per engine, in order."""


Route: TypeAlias = Callable[[EngineRequest, float, FleetView], int]
"""(request, now, view) -> index of the engine that gets it."""


class Observer(Protocol):
    """What a router sees pass by after its decision; ``request`` is the index of the arrival."""

    def first_token(self, request: int, engine: int, now: float) -> None: ...

    def finished(self, request: int, engine: int, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """What became of one arrival."""

    arrived_at: float
    engine: int
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    """Prompt tokens that the engine's prefix cache had."""
    ttft_s: float
    tpot_s: float | None
    """Seconds per output token after the first; None where there is only one."""
    e2e_s: float
    preemptions: int


def simulate(
    arrivals: Iterable[tuple[float, EngineRequest]],
    fleet: Sequence[Engine],
    route: Route,
    *,
    scrape_every_s: float = SCRAPE_EVERY_S,
    observer: Observer | None = None,
) -> list[Served]:
    """Serve ``arrivals`` (seconds, ascending) to the end; one result each, in order.

    Each engine is scraped at its own phase of the period. ``observer`` hears of first tokens and
    ends in the order of time, before the next decision. Raises DoesNotFit.
    """
    replicas = [
        _Replica(engine, scrape_every_s, (index + 1) / len(fleet) * scrape_every_s)
        for index, engine in enumerate(fleet)
    ]
    placed: list[tuple[int, Generation]] = []

    def run(until: float) -> None:
        events: list[_Event] | None = None if observer is None else []
        for replica in replicas:
            replica.advance(until, events)
        if observer is not None and events:
            _tell(observer, sorted(events), placed)

    for now, request in arrivals:
        run(now)
        view = FleetView([replica.scraped(now) for replica in replicas])
        chosen = route(request, now, view)
        placed.append((chosen, replicas[chosen].submit(request, now, len(placed))))
    run(math.inf)
    return [_served(fleet[index], index, generation) for index, generation in placed]


_Event: TypeAlias = tuple[float, int, bool]
"""(when, number of the request, whether it is the end)"""


class _Replica:
    """One engine, how far it has run, and what its last scrape said."""

    def __init__(self, engine: Engine, scrape_every_s: float, phase_s: float) -> None:
        self._engine = engine
        self._scrape_every_s = scrape_every_s
        self._next_scrape = phase_s
        self._load = ScrapedLoad(0, 0, 0.0, 0.0)
        self._step: Step | None = None
        self._numbers: dict[Generation, int] = {}

    def submit(self, request: EngineRequest, now: float, number: int) -> Generation:
        generation = self._engine.submit(request, now)
        self._numbers[generation] = number
        if self._step is None:
            self._step = self._engine.step(now)
        return generation

    def advance(self, until: float, events: list[_Event] | None) -> None:
        """Run the steps that end by ``until``; what a router can see goes to ``events``."""
        step, engine = self._step, self._engine
        while step is not None and step.ends_at <= until:
            if self._next_scrape <= step.ends_at:
                self.scraped(step.ends_at)  # what was true until this step's end
            if events is not None:
                self._note(step, events)
            step = engine.step(step.ends_at)
        self._step = step

    def scraped(self, now: float) -> ScrapedLoad:
        """The load as of the last scrape before or at ``now``; nothing changed since then."""
        if self._next_scrape <= now:
            periods = int((now - self._next_scrape) / self._scrape_every_s)
            at = self._next_scrape + periods * self._scrape_every_s
            engine = self._engine
            self._load = ScrapedLoad(engine.waiting, engine.running, engine.kv_used, at)
            self._next_scrape = at + self._scrape_every_s
        return self._load

    def _note(self, step: Step, events: list[_Event]) -> None:
        now, numbers = step.ends_at, self._numbers
        # Not those that resume after a preemption.
        events += [(now, numbers[g], False) for g in step.prefilled if g.first_token_at == now]
        events += [(now, numbers[g], True) for g in step.finished]


def _tell(
    observer: Observer, events: Iterable[_Event], placed: Sequence[tuple[int, Generation]]
) -> None:
    for when, number, is_end in events:
        engine = placed[number][0]
        if is_end:
            observer.finished(number, engine, when)
        else:
            observer.first_token(number, engine, when)


def _served(engine: Engine, index: int, generation: Generation) -> Served:
    first, end = generation.first_token_at, generation.finished_at
    if first is None or end is None:
        raise RuntimeError("the engine ran dry before a request was done")
    api_s = engine.profile.api_overhead_s
    return Served(
        arrived_at=generation.arrived_at,
        engine=index,
        prompt_tokens=generation.request.prompt_tokens,
        output_tokens=generation.request.output_tokens,
        cached_tokens=generation.cached_tokens,
        ttft_s=first - generation.arrived_at + api_s,
        tpot_s=generation.tpot,
        e2e_s=end - generation.arrived_at + api_s,
        preemptions=generation.preemptions,
    )
