"""Credits that outlast their stream: by expectation, by what the endpoint says, never for ever."""

from __future__ import annotations

import pytest

from gateway.datalayer.inflight import Credit, InFlight
from gateway.datalayer.lingering import LONGEST_SECONDS, SLACK, Lingering
from gateway.datalayer.state import Columns
from tests.builders import NOW, endpoint

Rows = list[tuple[int, int, int]]


class Account:
    """Two endpoints, their in-flight rows, and what lingers on them."""

    def __init__(self, most: int = 1000) -> None:
        self.columns = Columns(2)
        self.inflight = InFlight(lambda: self.columns)
        self.lingering = Lingering(self.inflight, most)

    def let_go(
        self, slot: int = 0, *, seconds: float = 10.0, first: float = 1.0, now: float = NOW
    ) -> Credit:
        credit = self.inflight.take(endpoint(slot), 100, 30)
        self.lingering.keep(credit, first_token_seconds=first, seconds=seconds, now=now)
        return credit

    def rows(self) -> Rows:
        """(requests, tokens, prefill tokens) of both."""
        c = self.columns
        return [
            (int(c.inflight_requests[s]), int(c.inflight_tokens[s]), int(c.inflight_prefill[s]))
            for s in (0, 1)
        ]


def test_a_credit_lasts_as_long_as_its_answer_should() -> None:
    account = Account()
    account.let_go(seconds=10.0, first=1.0)
    seen = []
    for later in (0.0, 0.9, 1.0, 9.9, 10.0):
        account.lingering.sweep(NOW + later)
        seen.append(account.rows()[0])
    assert seen == [(1, 100, 30), (1, 100, 30), (1, 100, 0), (1, 100, 0), (0, 0, 0)]
    assert len(account.lingering) == 0


def test_a_late_sweep_gives_everything_back_at_once() -> None:
    account = Account()
    account.let_go()
    account.lingering.sweep(NOW + 1e6)
    assert account.rows()[0] == (0, 0, 0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_nothing_to_wait_for_is_not_waited_for(seconds: float) -> None:
    account = Account()
    account.let_go(seconds=seconds)
    assert account.rows()[0] == (0, 0, 0)


def test_no_expectation_is_believed_for_ever() -> None:
    account = Account()
    account.let_go(seconds=float("inf"), first=float("inf"))
    account.lingering.sweep(NOW + LONGEST_SECONDS)
    assert account.rows()[0] == (0, 0, 0)


@pytest.mark.parametrize(
    ("requests", "others", "kept"),
    [
        pytest.param(3.0, 0, [0, 1, 2], id="as many as we think"),
        pytest.param(9.0, 0, [0, 1, 2], id="others send there too"),
        pytest.param(2.0, 0, [1, 2], id="one is over: the oldest"),
        pytest.param(0.0, 0, [], id="it has nothing at all"),
        pytest.param(3.0, 2, [2], id="two of the three are followed ones"),
        pytest.param(0.0, 5, [], id="no more than there are"),
    ],
)
def test_an_endpoint_with_fewer_requests_has_ended_the_oldest(
    requests: float, others: int, kept: list[int]
) -> None:
    account = Account()
    credits = [account.let_go(now=NOW + i) for i in range(3)]
    elsewhere = account.let_go(1)
    given_back = account.lingering.reported(0, requests, others, at=NOW + 5)
    assert [i for i, credit in enumerate(credits) if credit.held] == kept
    assert given_back == 3 - len(kept)
    assert elsewhere.held


def test_a_report_says_nothing_of_what_came_after_it() -> None:
    account = Account()
    before, after = account.let_go(now=NOW), account.let_go(now=NOW + 2)
    account.lingering.reported(0, 0.0, 0, at=NOW + 1)
    assert (before.held, after.held) == (False, True)


def test_what_was_corrected_is_not_given_back_twice() -> None:
    account = Account()
    account.let_go(seconds=5.0)
    account.lingering.reported(0, 0.0, 0, at=NOW + 1)
    account.inflight.take(endpoint(0), 7, 7)
    account.lingering.sweep(NOW + 10)
    assert account.rows()[0] == (1, 7, 7)


def test_beyond_its_bound_a_credit_is_given_back_at_once() -> None:
    account = Account(most=2)
    held = [account.let_go().held for _ in range(4)]
    assert held == [True, True, False, False]
    assert len(account.lingering) == 2


def test_credits_corrected_early_leave_no_growing_schedule_behind() -> None:
    account = Account()
    for i in range(5 * SLACK):
        account.let_go(seconds=500.0, now=NOW)
        account.lingering.reported(0, 0.0, 0, at=NOW + 1 + i)
    assert len(account.lingering._due) <= SLACK + 1
    assert account.lingering.slots == []
