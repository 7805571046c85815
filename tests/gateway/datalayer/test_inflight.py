"""Credits: what a pick adds to a row, and what each event takes from it."""

from __future__ import annotations

from gateway.datalayer.inflight import InFlight
from gateway.datalayer.state import Columns
from tests.builders import endpoint

FIRST, SECOND = endpoint(0), endpoint(1)


def row(columns: Columns, slot: int) -> tuple[int, int, int]:
    """(requests, tokens, prefill tokens) in flight."""
    return (
        int(columns.inflight_requests[slot]),
        int(columns.inflight_tokens[slot]),
        int(columns.inflight_prefill[slot]),
    )


def test_a_pick_takes_credit_for_a_request_its_tokens_and_its_prefill() -> None:
    columns = Columns(2)
    InFlight(lambda: columns).take(SECOND, tokens=300, prefill_tokens=100)
    assert [row(columns, 0), row(columns, 1)] == [(0, 0, 0), (1, 300, 100)]


def test_requests_on_one_endpoint_add_up() -> None:
    columns = Columns(1)
    inflight = InFlight(lambda: columns)
    inflight.take(FIRST, tokens=300, prefill_tokens=100)
    inflight.take(FIRST, tokens=30, prefill_tokens=10)
    assert row(columns, 0) == (2, 330, 110)


def test_the_first_token_gives_the_prefill_back_and_only_once() -> None:
    columns = Columns(1)
    inflight = InFlight(lambda: columns)
    credit = inflight.take(FIRST, tokens=300, prefill_tokens=100)
    inflight.first_token(credit)
    inflight.first_token(credit)
    assert row(columns, 0) == (1, 300, 0)


def test_the_end_gives_everything_back_and_only_once() -> None:
    columns = Columns(1)
    inflight = InFlight(lambda: columns)
    inflight.take(FIRST, tokens=1, prefill_tokens=1)
    credit = inflight.take(FIRST, tokens=300, prefill_tokens=100)
    inflight.give_back(credit)
    inflight.give_back(credit)
    assert row(columns, 0) == (1, 1, 1)


def test_a_request_served_elsewhere_takes_its_load_along() -> None:
    columns = Columns(2)
    inflight = InFlight(lambda: columns)
    credit = inflight.take(FIRST, tokens=300, prefill_tokens=100)
    inflight.move(credit, SECOND)
    assert [row(columns, 0), row(columns, 1)] == [(0, 0, 0), (1, 300, 100)]
    assert credit.endpoint == SECOND


def test_a_move_after_the_first_token_does_not_bring_the_prefill_back() -> None:
    columns = Columns(2)
    inflight = InFlight(lambda: columns)
    credit = inflight.take(FIRST, tokens=300, prefill_tokens=100)
    inflight.first_token(credit)
    inflight.move(credit, SECOND)
    assert [row(columns, 0), row(columns, 1)] == [(0, 0, 0), (1, 300, 0)]


def test_nothing_happens_to_a_credit_that_was_given_back() -> None:
    columns = Columns(2)
    inflight = InFlight(lambda: columns)
    credit = inflight.take(FIRST, tokens=300, prefill_tokens=100)
    inflight.give_back(credit)
    inflight.first_token(credit)
    inflight.move(credit, SECOND)
    assert [row(columns, 0), row(columns, 1)] == [(0, 0, 0), (0, 0, 0)]


def test_negative_estimates_count_as_zero() -> None:
    columns = Columns(1)
    InFlight(lambda: columns).take(FIRST, tokens=-5, prefill_tokens=-1)
    assert row(columns, 0) == (1, 0, 0)


def test_credits_survive_that_the_store_grows_its_columns() -> None:
    small, large = Columns(1), Columns(8)
    current = [small]
    inflight = InFlight(lambda: current[0])
    credit = inflight.take(FIRST, tokens=300, prefill_tokens=100)
    large.inflight_requests[:1] = small.inflight_requests
    large.inflight_tokens[:1] = small.inflight_tokens
    large.inflight_prefill[:1] = small.inflight_prefill
    current[0] = large
    inflight.give_back(credit)
    assert row(large, 0) == (0, 0, 0)
