"""The least replicas are kept wherever whole units make them; elsewhere the nearest size is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sizing.decision import Reason
from autoscaler.sizing.greedy import greedy
from autoscaler.sizing.offers import (
    Offer,
    Question,
    affordable,
    cost_per_hour,
    replicas,
    within,
)
from autoscaler.sizing.sizes import loosened, nearest_floor
from autoscaler.sizing.variants import cheapest
from tests.autoscaler.sizing.builders import demand, fleet, policy_of


@st.composite
def offers(draw: st.DrawFn, index: int) -> Offer:
    low = draw(st.integers(0, 2))
    high = low + draw(st.integers(0, 3))
    return Offer(
        pool=f"pool-{index}",
        capacity=draw(st.sampled_from([0.5, 1.0, 2.6, 10.4])),
        price_per_hour=draw(st.sampled_from([0.0, 1.0, 1.47, 9.0])),
        low=low,
        high=high,
        current=draw(st.integers(low, high)),
        replicas=draw(st.sampled_from([1, 2, 3, 4, 8])),
    )


@st.composite
def questions(draw: st.DrawFn) -> Question:
    least = draw(st.integers(0, 12))
    return Question(
        offers=tuple(draw(offers(i)) for i in range(draw(st.integers(1, 3)))),
        need=draw(st.floats(0, 20)),
        budget_per_hour=draw(st.none() | st.floats(0, 40)),
        least_replicas=least,
        most_replicas=least + draw(st.integers(0, 6)),
    )


def mixes(question: Question) -> Iterator[tuple[int, ...]]:
    """Every mix that bounds and budget allow."""
    spans = [range(offer.low, offer.high + 1) for offer in question.offers]
    return (units for units in product(*spans) if within(question, units))


def high_enough(question: Question) -> list[tuple[int, ...]]:
    return [m for m in mixes(question) if replicas(question, m) >= question.least_replicas]


@given(questions())
def test_the_floor_is_the_cheapest_of_all_mixes_or_the_nearest(question: Question) -> None:
    question = affordable(question)
    every = list(mixes(question))
    if not every:
        return
    found = nearest_floor(question)
    assert within(question, found)
    enough = high_enough(question)
    if enough:
        assert replicas(question, found) >= question.least_replicas
        best = min(cost_per_hour(question, mix) for mix in enough)
        assert cost_per_hour(question, found) == pytest.approx(best)
    else:
        assert replicas(question, found) == max(replicas(question, mix) for mix in every)


def test_a_floor_of_a_hundred_thousand_is_found_in_no_time() -> None:
    slices = tuple(
        Offer(pool=str(n), capacity=1.0, price_per_hour=1.0 + n, high=30_000, replicas=n)
        for n in (3, 4, 7)
    )
    question = Question(offers=slices, need=1.0, least_replicas=100_000, budget_per_hour=1e5)
    assert replicas(question, greedy(question)) <= 100_000
    assert cost_per_hour(question, greedy(question)) <= 1e5


@given(questions())
def test_the_least_is_kept_whatever_is_needed_if_any_mix_keeps_it(question: Question) -> None:
    question = affordable(question)
    if not any(True for _ in mixes(question)):
        return
    enough = bool(high_enough(question))
    nearest = max(replicas(question, mix) for mix in mixes(question))
    for units in (greedy(question), cheapest(question)):
        least = question.least_replicas if enough else nearest
        assert replicas(question, units) >= least


@given(questions(), st.integers(0, 12))
def test_what_gives_way_is_no_more_than_the_least_replicas_need(
    question: Question, more: int
) -> None:
    most = question.most_replicas + more
    found = loosened(question, most)
    if high_enough(question):
        assert found == question
        return
    free = replace(question, offers=tuple(replace(o, low=0) for o in question.offers))
    if high_enough(free):
        assert high_enough(found)
        assert found.most_replicas == question.most_replicas
        assert all(a.low <= b.low for a, b in zip(found.offers, question.offers, strict=True))
        return
    sizes = [replicas(free, m) for m in mixes(replace(question, most_replicas=most))]
    above = [n for n in sizes if n >= question.least_replicas]
    assert found == replace(question, most_replicas=min(above, default=question.most_replicas))


SLICES = {"name": "slices", "kind": "tpu", "replicasPerUnit": 4, "nodesPerUnit": 4}


@pytest.mark.parametrize("work", [0.1, 30.0])
def test_a_pools_least_units_make_way_for_the_least_replicas(work: float) -> None:
    """4 and 8 of one pool and threes of the other: six can be had without the first alone."""
    threes = {"name": "threes", "replicasPerUnit": 3}
    model = {"minReplicas": 6, "maxReplicas": 6}
    live = fleet(policy_of({**SLICES, "minUnits": 1}, threes, model=model))
    assert dict(live.run(work, 5).replicas) == {"slices": 0, "threes": 6}


def test_a_schedules_cap_makes_way_for_the_next_whole_slice() -> None:
    event = {"name": "event", "start": "00:00", "end": "12:00", "minReplicas": 5, "maxReplicas": 6}
    live = fleet(policy_of(SLICES, model={"maxReplicas": 16, "schedules": [event]}))
    decision = live.tick(demand(20.0))
    assert (decision.total(), decision.reason) == (8, Reason.SIZES)


def test_where_no_size_is_high_enough_the_nearest_is_taken_and_said() -> None:
    """A quota that leaves sizes of 3, 4 and 7 for a model of five or six."""
    pair: list[dict[str, Any]] = [SLICES, {"name": "threes", "replicasPerUnit": 3}]
    live = fleet(policy_of(*pair, model={"minReplicas": 5, "maxReplicas": 6}))
    assert live.run(0.1, 5).total() == 6
    live.quota = {"slices": 1, "threes": 1}
    live.ready = {"slices": 0, "threes": 0}
    decision = live.run(0.1, 5)
    assert (decision.total(), decision.reason) == (4, Reason.SIZES)
