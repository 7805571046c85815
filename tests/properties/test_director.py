"""Laws of the director: whatever the proxy says, and in whatever order, nothing is left over."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.inflight import InFlight
from gateway.datalayer.lingering import LONGEST_SECONDS
from gateway.datalayer.state import Endpoint
from gateway.director import Director
from gateway.errors import NoEndpoint, NothingFits, Refusal
from gateway.request.model import Ending, Outcome, Usage
from gateway.scheduling.types import Cycle, Decision
from tests import builders
from tests.builders import NOW, endpoint, request
from tests.fakes.clock import ManualClock
from tests.gateway.director.fakes import FakePolicy, InOrder, Recorded, Stage, stage
from tests.properties.churn import Churn

ENDPOINTS = 3
DESTINATIONS = (*(endpoint(slot).destination for slot in range(ENDPOINTS)), "10.9.9.9:1", "", None)

calls = st.one_of(
    st.tuples(st.just("route"), st.integers(0, 400)),
    st.tuples(
        st.just("responding"),
        st.integers(1, 8),
        st.sampled_from([None, 200, 404, 429, 500, 503]),
        st.sampled_from(DESTINATIONS),
    ),
    st.tuples(st.just("first_token"), st.integers(1, 8)),
    st.tuples(st.just("finish"), st.integers(1, 8), st.sampled_from(Ending)),
)


def carry_out(stg: Stage, call: tuple[object, ...], now: float) -> None:
    match call:
        case ("route", int(size)):
            stg.director.route(request("x" * size), None, now)
        case ("responding", int(ticket), int() | None as status, str() | None as served):
            stg.director.responding(ticket, status, served, now)
        case ("first_token", int(ticket)):
            stg.director.first_token(ticket, now)
        case ("finish", int(ticket), Ending() as ending):
            usage = Usage(output_tokens=7)
            stg.director.finish(ticket, Outcome(ending, 200, usage, streamed=True), now)
        case _:
            raise ValueError(call)


@given(st.lists(st.tuples(calls, st.floats(0, 20)), max_size=60))
def test_live_requests_and_rows_agree_in_any_order_of_calls(
    script: list[tuple[tuple[object, ...], float]],
) -> None:
    """Tickets of the script are guesses: some are live, some have ended, some never were."""
    stg, now = stage(builders.pool(size=ENDPOINTS)), NOW
    routed = 0
    for call, later in script:
        now += later
        carry_out(stg, call, now)
        routed += call[0] == "route"
        assert sum(stg.requests()) == stg.director.live + stg.director.lingering
        assert min(min(row) for row in stg.inflight()) >= 0
    for ticket in range(1, routed + 1):
        stg.director.finish(ticket, Outcome(Ending.SHUTDOWN, None), now)
    stg.director.settle(now + LONGEST_SECONDS)
    assert stg.inflight() == [(0, 0, 0)] * ENDPOINTS
    assert stg.director.live == 0
    assert len(stg.measures.of("routed")) == len(stg.measures.of("finished")) == routed


@given(
    subset=st.one_of(
        st.none(),
        st.lists(
            st.one_of(
                st.sampled_from([d for d in DESTINATIONS if d]),
                st.sampled_from(["10.0.0.1", " 10.0.0.2:8000", "[::ffff:10.0.0.3]:8000"]),
                st.text(max_size=20),
            ),
            max_size=6,
        ).map(tuple),
    ),
    failing=st.sets(st.integers(0, ENDPOINTS - 1)),
    broken=st.booleans(),
)
def test_a_route_never_leaves_the_subset(
    subset: tuple[str, ...] | None, failing: set[int], broken: bool
) -> None:
    """Not for the circuit breaker's sake, and not when the scheduler is broken."""
    fails_at = frozenset({"schedule"}) if broken else frozenset()
    stg = stage(builders.pool(size=ENDPOINTS), scheduler=InOrder(most=ENDPOINTS, fails_at=fails_at))
    for slot in failing:
        for _ in range(5):
            ticket = stg.director.route(request(), (endpoint(slot).destination,), NOW).ticket
            stg.director.finish(ticket, Outcome(Ending.COMPLETE, 503), NOW)
    named = {
        "10.0.0.1:8000": {0},
        "10.0.0.1": {0},
        "10.0.0.2:8000": {1},
        " 10.0.0.2:8000": {1},
        "10.0.0.3:8000": {2},
        "[::ffff:10.0.0.3]:8000": {2},
    }
    allowed = (
        set(range(ENDPOINTS))
        if subset is None
        else set().union(*(named.get(entry, set()) for entry in subset))
    )
    if not allowed:
        with pytest.raises(NoEndpoint):
            stg.director.route(request(), subset, NOW)
        return
    route = stg.director.route(request(), subset, NOW)
    assert set(route.destinations) <= {endpoint(slot).destination for slot in allowed}
    assert route.destinations


class AnyOfThem(InOrder):
    """A scheduler that picks by chance, and sometimes refuses or breaks, as plugins may."""

    def schedule(self, cycle: Cycle, endpoints: tuple[Endpoint, ...]) -> Decision:
        luck = cycle.rng.random()
        if luck < 0.01:
            raise ZeroDivisionError
        if luck < 0.02:
            raise NothingFits("none fits")
        return Decision((endpoints[cycle.rng.randrange(len(endpoints))],), "any")

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        if cycle.rng.random() < 0.01:
            raise ZeroDivisionError


def test_nothing_is_left_after_a_hundred_thousand_mixed_streams() -> None:
    """Complete, refused after the pick, client gone before and after the headers, proxy gone,
    upstream errors, served elsewhere or by a stranger, never finished until shutdown; members
    leave meanwhile, their slots are reused, columns grow, plugins break."""
    rng = random.Random(7)
    pool = Churn(capacity=4, members=6)
    first_columns = pool.store.columns
    policy = FakePolicy(AnyOfThem())
    measures = Recorded()
    director = Director(
        store=pool.store,
        policy=lambda: policy,
        inflight=InFlight(lambda: pool.store.columns),
        measures=measures,
        clock=ManualClock(),
        rng=rng,
    )
    bodies = [request("x" * n, stream=bool(n % 2)) for n in range(0, 4000, 7)]
    open_tickets: list[int] = []
    now, started, most_lingering = NOW, 0, 0
    while started < 100_000:
        measures.said.clear()
        now += rng.expovariate(200.0)
        if rng.random() < 0.005:
            pool.churn(rng, least=2, most=40)
        if rng.random() < 0.5 and len(open_tickets) < 400:
            try:
                open_tickets.append(director.route(rng.choice(bodies), None, now).ticket)
            except Refusal:
                continue
            started += 1
        elif open_tickets:
            which = rng.randrange(len(open_tickets))
            open_tickets[which], ticket = open_tickets[-1], open_tickets[which]
            open_tickets.pop()
            end(director, ticket, pool, rng, now)
        if started % 500 == 0:
            assert director.live == len(open_tickets)
            assert sum(row[0] for row in pool.rows()) == director.live + director.lingering
            most_lingering = max(most_lingering, director.lingering)
        if started % 100 == 0:
            report(pool, rng, now)
            director.settle(now)
            assert min(min(row) for row in pool.rows()) >= 0
    assert pool.reused > 50
    assert pool.left_busy > 50
    assert pool.store.columns is not first_columns
    for ticket in open_tickets:
        director.finish(ticket, Outcome(Ending.SHUTDOWN, None), now)
    assert most_lingering > 10
    assert director.live == 0
    director.settle(now + LONGEST_SECONDS)
    assert set(pool.rows()) == {(0, 0, 0)}


def report(pool: Churn, rng: random.Random, now: float) -> None:
    """Some members say how many requests they have: what we think, more, or fewer."""
    columns = pool.store.columns
    for member in pool.members[:: rng.randrange(1, 4)]:
        columns.running[member.slot] = rng.randrange(40)
        columns.waiting[member.slot] = rng.choice([0, 0, 5, float("nan")])
        columns.observed_at[member.slot] = now - rng.random()


def end(director: Director, ticket: int, pool: Churn, rng: random.Random, now: float) -> None:
    """End a stream in one of the ways there are, after as much of a response as there was."""
    status = rng.choice([None, 200, 200, 200, 404, 500, 503])
    if rng.random() < 0.8:
        served = rng.choice([None, "10.9.9.9:1", rng.choice(pool.members).destination])
        director.responding(ticket, status, served, now - 2)
        if rng.random() < 0.8:
            director.first_token(ticket, now - 1)
    usage = Usage(output_tokens=rng.choice([None, 1, 90]))
    outcome = Outcome(rng.choice(list(Ending)), status, usage, streamed=rng.random() < 0.5)
    for _ in range(rng.choice([1, 1, 2])):
        director.finish(ticket, outcome, now)
