"""Laws of the in-flight account: rows are the sum of the credits held, whatever happens."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.datalayer.inflight import Credit, InFlight
from gateway.datalayer.state import Endpoint
from tests.properties.churn import Churn

Held = dict[int, tuple[Endpoint, int, int]]


class Account(RuleBasedStateMachine):
    """Any order of taking, moving and giving back, on a pool whose members come and go.

    ``held`` is the account as it should be, kept per credit; credits that were given back stay
    in ``credits``, so that every call is also tried on those.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool = Churn(capacity=1)
        self.inflight = InFlight(lambda: self.pool.store.columns)
        self.credits: list[Credit] = []
        self.held: Held = {}

    @rule()
    def a_member_joins(self) -> None:
        self.pool.join()

    @precondition(lambda self: self.pool.members)
    @rule(which=st.integers(0, 99))
    def a_member_leaves(self, which: int) -> None:
        self.pool.leave(which % len(self.pool.members))

    @precondition(lambda self: self.pool.members)
    @rule(which=st.integers(0, 99), tokens=st.integers(-5, 9000), prefill=st.integers(-5, 9000))
    def a_request_is_picked(self, which: int, tokens: int, prefill: int) -> None:
        member = self.pool.members[which % len(self.pool.members)]
        self.held[len(self.credits)] = (member, max(tokens, 0), max(prefill, 0))
        self.credits.append(self.inflight.take(member, tokens, prefill))

    @precondition(lambda self: self.credits)
    @rule(which=st.integers(0, 99))
    def a_first_token_comes(self, which: int) -> None:
        which %= len(self.credits)
        self.inflight.first_token(self.credits[which])
        if which in self.held:
            member, tokens, _ = self.held[which]
            self.held[which] = (member, tokens, 0)

    @precondition(lambda self: self.credits and self.pool.members)
    @rule(which=st.integers(0, 99), to=st.integers(0, 99))
    def another_endpoint_serves(self, which: int, to: int) -> None:
        which %= len(self.credits)
        member = self.pool.members[to % len(self.pool.members)]
        self.inflight.move(self.credits[which], member)
        if which in self.held:
            self.held[which] = (member, *self.held[which][1:])

    @precondition(lambda self: self.credits)
    @rule(which=st.integers(0, 99))
    def a_stream_ends(self, which: int) -> None:
        which %= len(self.credits)
        self.inflight.give_back(self.credits[which])
        self.held.pop(which, None)

    @invariant()
    def rows_are_the_sum_of_what_is_held(self) -> None:
        expected = [[0, 0, 0] for _ in range(self.pool.store.columns.capacity)]
        for member, tokens, prefill in self.held.values():
            row = expected[member.slot]
            row[0] += 1
            row[1] += tokens
            row[2] += prefill
        assert [list(row) for row in self.pool.rows()] == expected

    def teardown(self) -> None:
        for credit in self.credits:
            self.inflight.give_back(credit)
        assert set(self.pool.rows()) == {(0, 0, 0)}


Account.TestCase.settings = settings(stateful_step_count=40)
TestAccount = Account.TestCase


def test_nothing_is_left_after_a_hundred_thousand_mixed_endings() -> None:
    """Endings in any order and twice, moves, members that leave with requests in flight, slots
    that are reused, columns that grow: no row is ever negative, and in the end all are zero."""
    rng = random.Random(20260801)
    pool = Churn(capacity=4, members=6)
    first_columns = pool.store.columns
    inflight = InFlight(lambda: pool.store.columns)
    open_credits: list[Credit] = []
    ended = 0
    while ended < 100_000:
        event = rng.random()
        if event < 0.003:
            pool.churn(rng, least=2, most=40)
        elif event < 0.45 and len(open_credits) < 500:
            member = pool.members[rng.randrange(len(pool.members))]
            open_credits.append(inflight.take(member, rng.randrange(9000), rng.randrange(9000)))
        elif open_credits:
            which = rng.randrange(len(open_credits))
            credit = open_credits[which]
            if event < 0.55:
                inflight.move(credit, pool.members[rng.randrange(len(pool.members))])
            elif event < 0.65:
                inflight.first_token(credit)
            else:
                open_credits[which] = open_credits[-1]
                open_credits.pop()
                inflight.give_back(credit)
                if event > 0.95:
                    inflight.give_back(credit)
                ended += 1
            assert min(pool.row(credit.endpoint.slot)) >= 0
    assert pool.reused > 50
    assert pool.left_busy > 50
    assert pool.store.columns is not first_columns
    for credit in open_credits:
        inflight.give_back(credit)
    assert set(pool.rows()) == {(0, 0, 0)}
