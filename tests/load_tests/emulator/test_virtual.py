"""A fleet in virtual time: who gets what, what the router sees, and when."""

from __future__ import annotations

import random
from collections.abc import Sequence

from load_tests.emulator.engine import EngineRequest
from load_tests.emulator.virtual import FleetView, Route, simulate
from tests.load_tests.emulator.scenarios import engine


def to(engines: Sequence[int]) -> Route:
    choices = iter(engines)
    return lambda request, now, view: next(choices)


def test_latencies_of_each_request_where_it_went() -> None:
    served = simulate(
        [(0.0, EngineRequest(50, 3)), (0.0, EngineRequest(90, 1)), (1.0, EngineRequest(50, 3))],
        [engine(), engine()],
        to([0, 1, 1]),
    )
    assert [s.engine for s in served] == [0, 1, 1]
    assert [round(s.ttft_s, 6) for s in served] == [0.06, 0.1, 0.06]
    assert [s.tpot_s and round(s.tpot_s, 6) for s in served] == [0.011, None, 0.011]
    assert [round(s.e2e_s, 6) for s in served] == [0.082, 0.1, 0.082]


def test_the_router_sees_the_last_scrape_not_the_present() -> None:
    """Two arrivals inside one scrape period see the same numbers: that is how herds form."""
    seen: list[list[int]] = []

    def route(request: EngineRequest, now: float, view: FleetView) -> int:
        seen.append([load.running + load.waiting for load in view.loads])
        return 0

    request = EngineRequest(10, 100)
    times = [0.0, 0.01, 0.051, 0.101]
    simulate([(t, request) for t in times], [engine(), engine()], route, scrape_every_s=0.05)
    assert seen == [[0, 0], [0, 0], [2, 0], [3, 0]]


def test_a_scrape_reads_the_moment_of_its_phase() -> None:
    """Engine 0 of two is scraped at 25 ms, 75 ms, ...; the request ends at 60 ms."""
    running: list[tuple[float, int]] = []

    def route(request: EngineRequest, now: float, view: FleetView) -> int:
        running.append((round(view.loads[0].observed_at, 6), view.loads[0].running))
        return 0

    arrivals = [(0.0, EngineRequest(50, 1)), (0.07, EngineRequest(1, 1))]
    simulate(arrivals, [engine(), engine()], route, scrape_every_s=0.05)
    assert running == [(0.0, 0), (0.025, 1)]


def test_an_observer_hears_of_everything_in_order_of_time() -> None:
    heard: list[tuple[float, str, int, int]] = []

    class Listener:
        def first_token(self, request: int, engine: int, now: float) -> None:
            heard.append((round(now, 6), "first", request, engine))

        def finished(self, request: int, engine: int, now: float) -> None:
            heard.append((round(now, 6), "end", request, engine))

    simulate(
        [(0.0, EngineRequest(50, 2)), (0.0, EngineRequest(55, 1))],
        [engine(), engine()],
        to([1, 0]),
        observer=Listener(),
    )
    assert heard == [
        (0.06, "first", 0, 1),
        (0.065, "first", 1, 0),
        (0.065, "end", 1, 0),
        (0.071, "end", 0, 1),
    ]


def test_an_idle_fleet_and_no_arrivals() -> None:
    assert simulate([], [engine()], to([])) == []


def test_the_same_seed_gives_the_same_fleet() -> None:
    rng = random.Random(7)
    arrivals = [
        (i * 0.02, EngineRequest(rng.randint(1, 200), rng.randint(1, 30))) for i in range(200)
    ]
    runs = [
        simulate(arrivals, [engine(noise=0.1) for _ in range(3)], to([i % 3 for i in range(200)]))
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
