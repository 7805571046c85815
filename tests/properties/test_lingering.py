"""Laws of lingering credits: rows are what is held, never negative, and zero after the horizon."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.inflight import Credit, InFlight
from gateway.datalayer.lingering import LONGEST_SECONDS, Lingering
from gateway.datalayer.state import Columns
from tests.builders import NOW, endpoint

SLOTS = 3
slots = st.integers(0, SLOTS - 1)
seconds = st.floats(-1.0, 2 * LONGEST_SECONDS, allow_nan=False)

steps = st.one_of(
    st.tuples(st.just("keep"), slots, seconds, seconds),
    st.tuples(st.just("report"), slots, st.integers(0, 5), st.integers(0, 3), st.floats(0, 30)),
    st.tuples(st.just("end elsewhere"), slots),
    st.tuples(st.just("sweep")),
)


@given(st.lists(st.tuples(st.floats(0, 60), steps), max_size=60))
def test_nothing_drifts(script: list[tuple[float, tuple[object, ...]]]) -> None:
    columns = Columns(SLOTS)
    inflight = InFlight(lambda: columns)
    lingering = Lingering(inflight, most=8)
    credits: list[Credit] = []
    now = NOW
    for later, step in script:
        now += later
        match step:
            case ("keep", int(slot), float(first), float(lasts)):
                credit = inflight.take(endpoint(slot), 10, 4)
                credits.append(credit)
                lingering.keep(credit, first_token_seconds=first, seconds=lasts, now=now)
            case ("report", int(slot), int(requests), int(others), float(age)):
                before = sum(c.held for c in credits)
                given_back = lingering.reported(slot, float(requests), others, now - age)
                assert before - given_back <= sum(c.held for c in credits) <= before
            case ("end elsewhere", int(slot)):
                # Somebody else gives a credit back that lingers: once is enough for everybody.
                for credit in [c for c in credits if c.endpoint.slot == slot][:1]:
                    inflight.give_back(credit)
            case _:
                lingering.sweep(now)
        for slot in range(SLOTS):
            held = [c for c in credits if c.held and c.endpoint.slot == slot]
            assert columns.inflight_requests[slot] == len(held)
            assert columns.inflight_tokens[slot] == 10 * len(held)
            assert columns.inflight_prefill[slot] == sum(c.prefill_tokens for c in held)
        assert len(lingering) <= 8
    lingering.sweep(now + LONGEST_SECONDS)
    assert len(lingering) == 0
    assert not columns.inflight_requests.any()
    assert not columns.inflight_tokens.any()
    assert not columns.inflight_prefill.any()
