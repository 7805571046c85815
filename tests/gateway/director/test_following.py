"""From the response's first word to the end: who served, how long it took, what is given back."""

from __future__ import annotations

import pytest

from gateway.admission.outlier import FAILURES
from gateway.director.demand import OUTPUT_PRIOR
from gateway.request.model import Ending, Outcome, Usage
from tests.builders import NOW, endpoint, pool, request
from tests.gateway.director.fakes import InOrder, Stage, stage

COMPLETE = Outcome(Ending.COMPLETE, 200)


def routed(stg: Stage, *, stream: bool = True) -> int:
    """The ticket of a request to the first endpoint: 2 prompt tokens, 1 expected of output."""
    asked = request("x" * 8, stream=stream, max_output_tokens=1)
    return stg.director.route(asked, None, NOW).ticket


# --- giving back --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [pytest.param(ending, id=ending.value) for ending in Ending])
def test_every_ending_gives_everything_back(ending: Ending) -> None:
    stg = stage()
    stg.director.finish(routed(stg), Outcome(ending, None), NOW)
    assert stg.inflight() == [(0, 0, 0)] * 3
    assert stg.director.live == 0


def test_the_first_token_gives_the_prefill_back() -> None:
    stg = stage()
    ticket = routed(stg)
    assert stg.inflight()[0] == (1, 3, 2)
    stg.director.first_token(ticket, NOW)
    assert stg.inflight()[0] == (1, 3, 0)


def test_a_second_finish_does_nothing() -> None:
    stg = stage()
    ticket = routed(stg)
    routed(stg)
    stg.director.finish(ticket, COMPLETE, NOW)
    stg.director.finish(ticket, COMPLETE, NOW)
    assert stg.inflight()[0] == (1, 3, 2)
    assert len(stg.measures.of("finished")) == 1


def test_a_finished_or_invented_ticket_is_good_for_nothing() -> None:
    stg = stage()
    ticket = routed(stg)
    stg.director.finish(ticket, COMPLETE, NOW)
    before = list(stg.measures.said)
    for stale in (ticket, 777):
        assert stg.director.responding(stale, 200, "10.0.0.2:8000", NOW) == ()
        stg.director.first_token(stale, NOW)
        stg.director.finish(stale, COMPLETE, NOW)
    assert stg.inflight() == [(0, 0, 0)] * 3
    assert stg.measures.said == before


def test_requests_that_have_not_ended_are_counted() -> None:
    stg = stage()
    tickets = [routed(stg) for _ in range(3)]
    stg.director.finish(tickets[1], COMPLETE, NOW)
    assert stg.director.live == 2
    assert stg.measures.of("live") == [(1,), (2,), (3,), (2,)]


# --- who served ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "served",
    [
        pytest.param(None, id="the proxy does not say"),
        pytest.param("", id="the proxy says nothing"),
        pytest.param("10.0.0.1:8000", id="the first pick"),
        pytest.param(" 10.0.0.1:8000 ", id="the first pick, with blanks"),
    ],
)
def test_the_first_pick_served(served: str | None) -> None:
    stg = stage()
    headers = stg.director.responding(routed(stg), 200, served, NOW)
    assert headers == (("x-session-token", "pod-0"),)
    assert stg.inflight() == [(1, 3, 2), (0, 0, 0), (0, 0, 0)]
    assert stg.measures.of("served_elsewhere") == []
    assert stg.policy.scheduler.learnt == [("picked", "pod-0")]


def test_another_endpoint_served_so_the_credit_and_the_learning_go_there() -> None:
    stg = stage()
    ticket = routed(stg)
    headers = stg.director.responding(ticket, 200, "10.0.0.2:8000", NOW)
    assert headers == (("x-session-token", "pod-1"),)
    assert stg.inflight() == [(0, 0, 0), (1, 3, 2), (0, 0, 0)]
    assert stg.measures.of("served_elsewhere") == [(True,)]
    assert stg.policy.scheduler.learnt == [("picked", "pod-0"), ("served", "pod-1")]
    stg.director.finish(ticket, COMPLETE, NOW)
    assert stg.inflight() == [(0, 0, 0)] * 3


def test_an_ipv6_endpoint_is_recognised_in_the_proxys_spelling() -> None:
    stg = stage(pool(endpoint(0), endpoint(1, address="2001:DB8:0::1")))
    stg.director.responding(routed(stg), 200, "[2001:db8::1]:8000", NOW)
    assert stg.requests() == [0, 1]


def test_a_stranger_served_so_the_credit_stays_and_it_is_counted() -> None:
    stg = stage()
    ticket = routed(stg)
    headers = stg.director.responding(ticket, 200, "10.9.9.9:8000", NOW)
    assert headers == (("x-session-token", "pod-0"),)
    assert stg.requests() == [1, 0, 0]
    assert stg.measures.of("served_elsewhere") == [(False,)]


def test_a_first_pick_that_has_left_the_pool_still_served() -> None:
    stg = stage()
    ticket = routed(stg)
    stg.store.becomes(endpoint(1), endpoint(2))
    stg.director.responding(ticket, 200, "10.0.0.1:8000", NOW)
    assert stg.measures.of("served_elsewhere") == []
    stg.director.finish(ticket, COMPLETE, NOW)
    assert stg.requests() == [0, 0, 0]


def test_only_the_first_word_of_who_served_counts() -> None:
    stg = stage()
    ticket = routed(stg)
    stg.director.responding(ticket, 200, "10.0.0.2:8000", NOW)
    assert stg.director.responding(ticket, 200, "10.0.0.3:8000", NOW) == ()
    assert stg.requests() == [0, 1, 0]


@pytest.mark.parametrize(
    ("point", "headers"),
    [
        pytest.param("served", (("x-session-token", "pod-1"),), id="a learner"),
        pytest.param("response-headers", (), id="a header plugin"),
    ],
)
def test_a_broken_plugin_does_not_disturb_the_response(
    point: str, headers: tuple[tuple[str, str], ...]
) -> None:
    stg = stage(scheduler=InOrder(fails_at=frozenset({point})))
    assert stg.director.responding(routed(stg), 200, "10.0.0.2:8000", NOW) == headers
    assert stg.requests() == [0, 1, 0]
    assert stg.measures.of("plugin_failed") == [("InOrder", point)]


def test_a_request_ends_under_the_policy_it_began_with() -> None:
    """A configuration may be swapped while a stream is open."""
    stg = stage()
    before = stg.policy.scheduler
    ticket = routed(stg)
    stg.policy.scheduler = InOrder()
    stg.director.responding(ticket, 200, "10.0.0.2:8000", NOW)
    assert before.learnt == [("picked", "pod-0"), ("served", "pod-1")]
    assert stg.policy.scheduler.learnt == []


# --- health -------------------------------------------------------------------------------------


def test_an_endpoint_that_keeps_failing_is_avoided_and_then_tried_again() -> None:
    stg = stage()
    for _ in range(FAILURES):
        ticket = routed(stg)
        stg.director.responding(ticket, 503, None, NOW)
        stg.director.finish(ticket, Outcome(Ending.COMPLETE, 503), NOW)
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.2:8000",)
    assert stg.measures.of("avoided")[-1] == (1,)
    assert stg.director.route(request(), None, NOW + 10).destinations == ("10.0.0.1:8000",)
    assert stg.director.route(request(), None, NOW + 10).destinations == ("10.0.0.2:8000",)


def test_a_failure_that_only_the_end_reports_counts_as_well() -> None:
    stg = stage()
    for _ in range(FAILURES):
        stg.director.finish(routed(stg), Outcome(Ending.COMPLETE, 500), NOW)
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.2:8000",)


def test_one_response_counts_once() -> None:
    stg = stage()
    for _ in range(FAILURES - 1):
        ticket = routed(stg)
        stg.director.responding(ticket, 500, None, NOW)
        stg.director.finish(ticket, Outcome(Ending.COMPLETE, 500), NOW)
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.1:8000",)


def test_retries_that_another_had_to_serve_count_against_the_first_pick() -> None:
    stg = stage()
    for _ in range(FAILURES):
        stg.director.responding(routed(stg), 200, "10.0.0.2:8000", NOW)
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.2:8000",)


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Outcome(Ending.CLIENT_GONE, None), id="the client left before an answer"),
        pytest.param(Outcome(Ending.PROXY_GONE, None), id="the proxy broke"),
        pytest.param(Outcome(Ending.REFUSED, None), id="we refused after the pick"),
        pytest.param(Outcome(Ending.COMPLETE, 429), id="the server is busy"),
        pytest.param(Outcome(Ending.COMPLETE, 404), id="the client erred"),
    ],
)
def test_what_is_not_the_endpoints_fault_is_not_held_against_it(outcome: Outcome) -> None:
    stg = stage()
    for _ in range(3 * FAILURES):
        stg.director.finish(routed(stg), outcome, NOW)
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.1:8000",)


def test_a_strangers_answer_says_nothing_of_the_first_pick() -> None:
    stg = stage()
    for _ in range(FAILURES):
        ticket = routed(stg)
        stg.director.responding(ticket, 503, "10.9.9.9:8000", NOW)
        stg.director.finish(ticket, Outcome(Ending.COMPLETE, 503), NOW)
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.1:8000",)


def test_an_avoided_endpoint_is_used_when_no_other_fits() -> None:
    stg = stage(scheduler=InOrder(fits=lambda e: e.slot == 0))
    for _ in range(FAILURES):
        stg.director.responding(routed(stg), 503, None, NOW)
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.1:8000",)


def test_an_endpoint_that_has_left_comes_back_without_its_past() -> None:
    stg = stage()
    for _ in range(FAILURES):
        stg.director.responding(routed(stg), 503, None, NOW)
    members = stg.store.state.endpoints
    stg.store.becomes(*members[1:])
    stg.director.route(request(), None, NOW)
    stg.store.becomes(*members)
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.1:8000",)


# --- times and tokens ---------------------------------------------------------------------------

TRAFFIC = ("llama", "llama", "default-flow", 0)


def test_time_to_first_token_is_measured_once() -> None:
    stg = stage()
    ticket = routed(stg)
    stg.director.responding(ticket, 200, None, NOW + 0.25)
    stg.director.first_token(ticket, NOW + 0.5)
    stg.director.first_token(ticket, NOW + 0.75)
    assert stg.measures.of("first_token") == [(TRAFFIC, 0.5, True)]


def test_the_first_piece_of_an_error_is_no_first_token() -> None:
    stg = stage()
    ticket = routed(stg)
    stg.director.responding(ticket, 500, None, NOW)
    stg.director.first_token(ticket, NOW + 0.5)
    assert stg.measures.of("first_token") == []
    assert stg.inflight()[0] == (1, 3, 0)


def test_an_answer_whose_headers_say_so_is_a_stream_though_nobody_read_the_request() -> None:
    stg = stage()
    ticket = routed(stg, stream=False)
    stg.director.responding(ticket, 200, None, NOW + 0.25, streamed=True)
    stg.director.first_token(ticket, NOW + 0.5)
    assert stg.measures.of("first_token") == [(TRAFFIC, 0.5, True)]


def test_the_body_of_an_answer_that_was_not_streamed_is_told_apart() -> None:
    stg = stage()
    stg.director.first_token(routed(stg, stream=False), NOW + 2.0)
    assert stg.measures.of("first_token") == [(TRAFFIC, 2.0, False)]


@pytest.mark.parametrize(
    ("first_at", "tokens", "streamed", "tpot"),
    [
        pytest.param(NOW + 1.0, 11, True, 0.2, id="(end - first) / (tokens - 1)"),
        pytest.param(NOW + 1.0, 1, True, None, id="one token has no second"),
        pytest.param(NOW + 1.0, None, True, None, id="tokens not said"),
        pytest.param(None, 11, True, None, id="no first token seen"),
        pytest.param(NOW + 1.0, 11, False, None, id="not streamed: all came at once"),
    ],
)
def test_time_per_output_token(
    first_at: float | None, tokens: int | None, streamed: bool, tpot: float | None
) -> None:
    stg = stage()
    ticket = routed(stg)
    stg.director.responding(ticket, 200, None, NOW)
    if first_at is not None:
        stg.director.first_token(ticket, first_at)
    outcome = Outcome(Ending.COMPLETE, 200, Usage(output_tokens=tokens), streamed=streamed)
    stg.director.finish(ticket, outcome, NOW + 3.0)
    assert stg.measures.of("finished") == [(TRAFFIC, "complete", 200, 3.0, tpot)]


def test_the_status_is_known_from_the_response_even_if_the_client_leaves() -> None:
    stg = stage()
    ticket = routed(stg)
    stg.director.responding(ticket, 200, None, NOW)
    stg.director.finish(ticket, Outcome(Ending.CLIENT_GONE, None), NOW + 1.0)
    assert stg.measures.of("finished") == [(TRAFFIC, "client-gone", 200, 1.0, None)]


def test_answers_teach_how_long_answers_are() -> None:
    stg = stage()
    for _ in range(100):
        ticket = routed(stg)
        stg.director.finish(ticket, Outcome(Ending.COMPLETE, 200, Usage(output_tokens=40)), NOW)
    stg.director.route(request("x" * 8), None, NOW)
    assert 42 <= stg.inflight()[0][1] <= 46


def test_an_answer_that_was_cut_off_teaches_nothing() -> None:
    stg = stage()
    for _ in range(100):
        ticket = routed(stg)
        stg.director.finish(ticket, Outcome(Ending.CLIENT_GONE, 200, Usage(output_tokens=4)), NOW)
    stg.director.route(request("x" * 8), None, NOW)
    assert stg.inflight()[0][1] == 2 + OUTPUT_PRIOR
