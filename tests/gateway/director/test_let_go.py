"""Answers that nobody follows: what stays credited, what corrects it, what is learnt of them."""

from __future__ import annotations

import pytest

from gateway.config.picker import ResponseMode, ResponseProcessing
from gateway.director.paces import MOST_KNOWN, PRIOR, Pace, Paces
from gateway.errors import NoEndpoint, Shed
from gateway.request.model import Ending, Headers, Outcome, Usage
from tests.builders import NOW, pool, request
from tests.gateway.director.fakes import Stage, rewritable, stage

HEADERS = ResponseProcessing(ResponseMode.HEADERS)
LET_GO = Outcome(Ending.LET_GO, 200, streamed=True)
WAITED = PRIOR.duration(100)


def let_go(stg: Stage, outcome: Outcome = LET_GO, *, now: float = NOW, stream: bool = True) -> None:
    """A request of 2 prompt tokens and 100 expected of output, let go at its headers."""
    asked = request("x" * 8, stream=stream, max_output_tokens=100)
    ticket = stg.director.route(asked, None, now).ticket
    stg.director.responding(ticket, outcome.status, None, now)
    stg.director.finish(ticket, outcome, now)


# --- who is followed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processing", "followed"),
    [
        pytest.param(ResponseProcessing(), 400, id="full"),
        pytest.param(HEADERS, 0, id="headers"),
        pytest.param(ResponseProcessing(ResponseMode.ADAPTIVE, 0.0), 0, id="adaptive, nobody"),
        pytest.param(ResponseProcessing(ResponseMode.ADAPTIVE, 1.0), 400, id="adaptive, all"),
    ],
)
def test_the_mode_says_who_is_followed(processing: ResponseProcessing, followed: int) -> None:
    stg = stage(response_processing=processing)
    routes = [stg.director.route(request(), None, NOW) for _ in range(400)]
    assert sum(route.follow for route in routes) == followed


def test_adaptive_follows_a_share_by_chance() -> None:
    stg = stage(response_processing=ResponseProcessing(ResponseMode.ADAPTIVE, 0.25))
    followed = sum(stg.director.route(request(), None, NOW).follow for _ in range(2000))
    assert 430 < followed < 570


def test_a_renamed_model_is_always_followed() -> None:
    stg = stage(response_processing=HEADERS)
    asked = rewritable(request(headers={"x-llm-d-model-name-rewrite": "other"}))
    assert stg.director.route(asked, None, NOW).follow


# --- what stays credited ------------------------------------------------------------------------


def test_an_answer_let_go_stays_credited_for_as_long_as_it_should_take() -> None:
    stg = stage()
    let_go(stg)
    assert (stg.inflight()[0], stg.director.live, stg.director.lingering) == ((1, 102, 2), 0, 1)
    stg.director.settle(NOW + PRIOR.first_token)
    assert stg.inflight()[0] == (1, 102, 0)
    stg.director.settle(NOW + WAITED - 0.01)
    assert stg.inflight()[0] == (1, 102, 0)
    stg.director.settle(NOW + WAITED)
    assert (stg.inflight()[0], stg.director.lingering) == ((0, 0, 0), 0)


def test_the_next_request_sees_what_is_over() -> None:
    stg = stage()
    let_go(stg)
    stg.director.route(request("x" * 8, max_output_tokens=1), None, NOW + WAITED)
    assert stg.inflight()[0] == (1, 3, 2)


@pytest.mark.parametrize(
    ("outcome", "stream"),
    [
        pytest.param(Outcome(Ending.LET_GO, 200), False, id="an answer in one piece"),
        pytest.param(Outcome(Ending.LET_GO, 503, streamed=True), True, id="an error"),
        pytest.param(Outcome(Ending.LET_GO, None, streamed=True), True, id="no status"),
        pytest.param(Outcome(Ending.CLIENT_GONE, 200, streamed=True), True, id="followed"),
    ],
)
def test_what_is_over_with_its_headers_is_given_back_with_them(
    outcome: Outcome, stream: bool
) -> None:
    stg = stage()
    let_go(stg, outcome, stream=stream)
    assert stg.inflight() == [(0, 0, 0)] * 3


# --- what endpoints say -------------------------------------------------------------------------


def reports(stg: Stage, running: float, waiting: float, at: float) -> None:
    columns = stg.store.state.columns
    columns.running[0], columns.waiting[0], columns.observed_at[0] = running, waiting, at


def test_an_endpoint_that_has_fewer_requests_is_believed() -> None:
    stg = stage()
    for _ in range(3):
        let_go(stg)
    reports(stg, running=1, waiting=1, at=NOW + 0.1)
    stg.director.settle(NOW + 0.2)
    assert stg.requests()[0] == 2


@pytest.mark.parametrize(
    ("running", "at"),
    [
        pytest.param(float("nan"), NOW + 0.1, id="it does not say"),
        pytest.param(0.0, NOW - 1, id="it said so before"),
        pytest.param(0.0, float("-inf"), id="it never said anything"),
    ],
)
def test_what_is_not_known_corrects_nothing(running: float, at: float) -> None:
    stg = stage()
    let_go(stg)
    reports(stg, running, 0.0, at)
    stg.director.settle(NOW + 0.2)
    assert stg.requests()[0] == 1


def test_followed_streams_are_among_what_an_endpoint_reports() -> None:
    stg = stage()
    ticket = stg.director.route(request(stream=True), None, NOW).ticket
    stg.director.responding(ticket, 200, None, NOW)
    let_go(stg)
    reports(stg, running=1, waiting=0, at=NOW + 0.1)
    stg.director.settle(NOW + 0.2)
    assert stg.requests()[0] == 1
    assert stg.director.lingering == 0


def test_one_report_counts_once() -> None:
    """A stream that begins after it is no reason to doubt those from before."""
    stg = stage()
    let_go(stg)
    reports(stg, running=1, waiting=0, at=NOW + 0.1)
    stg.director.settle(NOW + 0.2)
    ticket = stg.director.route(request(stream=True), None, NOW).ticket
    stg.director.responding(ticket, 200, None, NOW)
    stg.director.settle(NOW + 0.3)
    assert stg.director.lingering == 1


# --- what is learnt -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "usage", [Usage(output_tokens=11), Usage()], ids=["usage is said", "usage is not said"]
)
def test_followed_answers_calibrate_the_others(usage: Usage) -> None:
    """0.5 s to the first token and 1 s after it: the next is expected to take as long per token."""
    stg = stage()
    asked = request("x" * 8, stream=True, max_output_tokens=11)
    ticket = stg.director.route(asked, None, NOW).ticket
    stg.director.responding(ticket, 200, None, NOW)
    stg.director.first_token(ticket, NOW + 0.5)
    stg.director.finish(ticket, Outcome(Ending.COMPLETE, 200, usage, streamed=True), NOW + 1.5)
    ticket = stg.director.route(asked, None, NOW + 2).ticket
    stg.director.responding(ticket, 200, None, NOW + 2)
    stg.director.finish(ticket, LET_GO, NOW + 2)
    assert stg.inflight()[0] == (1, 13, 2)
    stg.director.settle(NOW + 2.6)
    assert stg.inflight()[0] == (1, 13, 0)
    stg.director.settle(NOW + 3.4)
    assert stg.requests()[0] == 1
    stg.director.settle(NOW + 3.6)
    assert stg.requests()[0] == 0


def test_a_pace_is_the_endpoints_own_then_the_models_then_a_guess() -> None:
    paces = Paces()
    paces.observe("a:1", "llama", Pace(1.0, 0.1))
    paces.observe("b:1", "llama", Pace(3.0, 0.3))
    assert paces.expected("a:1", "llama") == Pace(1.0, 0.1)
    assert paces.expected("c:1", "llama") == pytest.approx(Pace(2.0, 0.2))
    assert paces.expected("a:1", "mistral") == PRIOR


def test_paces_are_bounded() -> None:
    paces = Paces()
    for i in range(MOST_KNOWN):
        paces.observe(f"{i}:1", f"model-{i}", PRIOR)
    assert len(paces) == MOST_KNOWN


# --- admission on headers -----------------------------------------------------------------------

LOW = Headers([("x-llm-d-inference-objective", "batch")])


def test_headers_alone_shed_a_sheddable_request() -> None:
    stg = stage(saturation=1.0, objectives={"batch": -1})
    with pytest.raises(Shed):
        stg.director.admit_early(LOW, None, NOW)
    assert stg.measures.of("refused") == [(("", "", "default-flow", -1), "shed")]
    assert stg.measures.of("routed") == []


@pytest.mark.parametrize(
    ("headers", "saturation"),
    [
        pytest.param(LOW, 0.9, id="room is left"),
        pytest.param(Headers(), 1.0, id="no objective"),
        pytest.param(Headers([("x-llm-d-inference-objective", "new")]), 1.0, id="an unknown one"),
    ],
)
def test_others_may_send_their_body(headers: Headers, saturation: float) -> None:
    stg = stage(saturation=saturation, objectives={"batch": -1})
    stg.director.admit_early(headers, None, NOW)
    assert stg.measures.said == []


@pytest.mark.parametrize(
    ("size", "subset"),
    [
        pytest.param(0, None, id="an empty pool"),
        pytest.param(3, (), id="an empty subset"),
        pytest.param(3, ("10.9.9.9:1",), id="a subset of strangers"),
    ],
)
def test_nowhere_to_send_is_told_before_the_body(size: int, subset: tuple[str, ...] | None) -> None:
    stg = stage(pool(size=size, capacity=3))
    with pytest.raises(NoEndpoint):
        stg.director.admit_early(Headers(), subset, NOW)
    assert stg.measures.of("refused") == [(("", "", "default-flow", 0), "no_endpoint")]
