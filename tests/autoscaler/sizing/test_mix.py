"""The cheapest mix: the solver and the greedy one keep the same bounds, on any question."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.sizing import milp
from autoscaler.sizing.greedy import greedy
from autoscaler.sizing.offers import (
    Offer,
    Question,
    affordable,
    capacity,
    cost_per_hour,
    replicas,
    shortfall,
    within,
)
from autoscaler.sizing.release import beside, held_back, making_room
from autoscaler.sizing.variants import cheapest


@st.composite
def offers(draw: st.DrawFn, index: int = 0) -> Offer:
    low = draw(st.integers(0, 2))
    high = low + draw(st.integers(0, 6))
    return Offer(
        pool=f"pool-{index}",
        capacity=draw(st.sampled_from([0.5, 0.95, 1.0, 2.6, 4.0])),
        price_per_hour=draw(st.sampled_from([0.8, 1.0, 1.47, 3.67, 9.0])),
        low=low,
        high=high,
        current=draw(st.integers(low, high)),
        replicas=draw(st.sampled_from([1, 1, 4])),
        spot=draw(st.booleans()),
        zones=draw(st.sampled_from([(), ("a",), ("b",), ("a", "b", "c")])),
    )


@st.composite
def questions(draw: st.DrawFn) -> Question:
    made = tuple(draw(offers(i)) for i in range(draw(st.integers(1, 4))))
    question = Question(
        offers=made,
        need=draw(st.floats(0, 40)),
        survive=draw(st.floats(0, 20)),
        budget_per_hour=draw(st.none() | st.floats(0, 60)),
        least_replicas=draw(st.integers(0, 6)),
        most_replicas=draw(st.integers(6, 40)),
        survive_zones=draw(st.booleans()),
    )
    return affordable(question)


@given(questions())
def test_whatever_is_asked_bounds_quota_and_budget_hold(question: Question) -> None:
    for units in (greedy(question), cheapest(question)):
        assert all(isinstance(n, int) for n in units)
        assert within(question, units)


@given(questions())
def test_the_solver_leaves_no_more_short_than_the_greedy_one(question: Question) -> None:
    bought, best = greedy(question), cheapest(question)
    assert shortfall(question, best) <= shortfall(question, bought) + 1e-6


@settings(max_examples=40)
@given(questions())
def test_no_mix_that_covers_is_much_cheaper(question: Question) -> None:
    """Against every mix there is; the solver's gap is one percent, its changes are charged."""
    units = cheapest(question)
    if shortfall(question, units) > 0 or replicas(question, units) < question.least_replicas:
        return

    def paid(mix: tuple[int, ...]) -> float:
        moved = sum(
            o.price_per_hour * max(0, n - o.current)
            for o, n in zip(question.offers, mix, strict=True)
        )
        return cost_per_hour(question, mix) + question.switch_hours * moved

    spans = [range(offer.low, offer.high + 1) for offer in question.offers]
    covering = [
        paid(mix)
        for mix in product(*spans)
        if within(question, mix)
        and shortfall(question, mix) == 0
        and replicas(question, mix) >= question.least_replicas
    ]
    assert paid(tuple(units)) <= 1.02 * min(covering) + 1e-6


@given(questions(), st.lists(st.integers(0, 8), min_size=4, max_size=4))
def test_what_is_held_back_keeps_bounds_and_serves(question: Question, ready: list[int]) -> None:
    wanted = cheapest(question)
    kept = held_back(question, wanted, ready[: len(wanted)])
    assert within(question, kept)
    assert all(k >= w for k, w in zip(kept, wanted, strict=True))
    before = [max(w, o.current) for w, o in zip(wanted, question.offers, strict=True)]
    if within(question, before):
        had = [min(b, r) for b, r in zip(before, ready, strict=False)]
        has = [min(k, r) for k, r in zip(kept, ready, strict=False)]
        enough = min(question.need, capacity(question, had))
        assert capacity(question, has) >= enough - 1e-6


@given(questions(), st.lists(st.integers(0, 8), min_size=4, max_size=4))
def test_what_is_new_is_paid_for_beside_what_still_stands(
    question: Question, there: list[int]
) -> None:
    wanted = cheapest(question)
    begun = beside(question, wanted, there[: len(wanted)])
    pairs = list(zip(begun, wanted, there, strict=False))
    assert all(min(w, t) <= b <= w for b, w, t in pairs)
    standing = cost_per_hour(question, there[: len(wanted)])
    paid = cost_per_hour(question, [max(b, t) for b, _, t in pairs])
    if question.budget_per_hour is None:
        assert begun == wanted
    else:
        assert paid <= max(question.budget_per_hour, standing) + 1e-6


def full_of_the_dear(*, coming: int = 0) -> Question:
    """A budget spent on five dear units where twelve cheap ones could be had."""
    dear = Offer(pool="dear", capacity=1.0, price_per_hour=4.0, high=10, current=5)
    cheap = Offer(pool="cheap", capacity=1.0, price_per_hour=1.5, high=20, current=coming)
    return Question(offers=(dear, cheap), need=12.0, budget_per_hour=20.0)


@pytest.mark.parametrize(
    ("coming", "wanted", "ready", "there", "made"),
    [
        pytest.param(0, [0, 12], [5, 0], [5, 0], [4, 0], id="one goes to make room"),
        pytest.param(0, [0, 12], [4, 0], [5, 0], [5, 0], id="not while one starts"),
        pytest.param(0, [0, 12], [5, 0], [6, 0], [5, 0], id="not while another leaves"),
        pytest.param(2, [0, 12], [5, 0], [5, 2], [5, 2], id="not before the last ones serve"),
        pytest.param(0, [0, 5], [5, 0], [5, 0], [5, 0], id="not for what is no more"),
    ],
)
def test_a_full_budget_makes_room_one_unit_at_a_time(
    coming: int, wanted: list[int], ready: list[int], there: list[int], made: list[int]
) -> None:
    question = full_of_the_dear(coming=coming)
    units = [5, coming]
    assert making_room(question, units, wanted, ready=ready, there=there) == made


def test_the_same_question_has_the_same_answer() -> None:
    twins = tuple(
        Offer(pool=name, capacity=1.0, price_per_hour=1.0, high=10, spot=True) for name in "ab"
    )
    question = Question(offers=twins, need=7.0, survive=3.0)
    assert cheapest(question) == cheapest(question)
    assert sum(cheapest(question)) == 7


def test_spot_alone_cannot_be_insured_and_is_still_bought() -> None:
    alone = Question(
        offers=(Offer(pool="s", capacity=1.0, price_per_hour=1.0, high=10, spot=True),),
        need=5.0,
        survive=5.0,
    )
    assert alone.losses() == ()
    assert cheapest(alone) == [5]


def test_a_zone_that_fails_is_insured_only_on_request() -> None:
    two_zones = tuple(
        Offer(pool=zone, capacity=1.0, price_per_hour=price, high=20, zones=(zone,))
        for zone, price in (("a", 1.0), ("b", 1.1))
    )
    question = Question(offers=two_zones, need=6.0, survive=6.0)
    assert cheapest(question) == [6, 0]
    insured = Question(offers=two_zones, need=6.0, survive=6.0, survive_zones=True)
    assert cheapest(insured) == [6, 6]


def test_a_better_price_is_no_reason_to_move_for_an_hour() -> None:
    """Ten percent cheaper: what is there stays. A third of the price: it moves."""
    there = Offer(pool="there", capacity=1.0, price_per_hour=3.0, high=9, current=5)
    for price, expected in ((2.7, [5, 0]), (1.0, [0, 5])):
        other = Offer(pool="other", capacity=1.0, price_per_hour=price, high=9)
        assert cheapest(Question(offers=(there, other), need=5.0)) == expected


def test_the_solver_is_asked_only_of_several_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pool is exact by hand; and without the solver there is an answer all the same."""
    monkeypatch.setattr(milp, "solve", lambda question, least: None)
    pair = tuple(
        Offer(pool=name, capacity=1.0, price_per_hour=price, high=10)
        for name, price in (("dear", 3.0), ("cheap", 1.0))
    )
    assert cheapest(Question(offers=pair, need=12.0)) == [2, 10]
