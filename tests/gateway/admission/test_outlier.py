"""The circuit breaker avoids what keeps failing, asks again, and never leaves nothing."""

from __future__ import annotations

import pytest

from gateway.admission.outlier import FAILURES, Breakers, is_failure
from gateway.datalayer.state import Endpoint
from tests.builders import endpoint

FLEET = tuple(endpoint(slot) for slot in range(4))
BAD = FLEET[1]
OTHERS = (FLEET[0], FLEET[2], FLEET[3])


def opened(*endpoints: Endpoint, now: float = 0.0) -> Breakers:
    """Breakers that have just opened for ``endpoints``."""
    breakers = Breakers()
    for each in endpoints:
        for _ in range(FAILURES):
            breakers.failed(each, now)
    return breakers


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        pytest.param(200, False, id="good"),
        pytest.param(400, False, id="the client's fault"),
        pytest.param(429, False, id="busy is alive"),
        pytest.param(500, True, id="broken"),
        pytest.param(501, False, id="a healthy server that cannot do this"),
        pytest.param(502, True, id="Envoy got nonsense"),
        pytest.param(503, True, id="Envoy could not connect"),
        pytest.param(504, True, id="Envoy waited in vain"),
        pytest.param(505, False, id="a healthy server that speaks another version"),
    ],
)
def test_only_some_answers_speak_against_an_endpoint(status: int, failure: bool) -> None:
    assert is_failure(status) is failure


def test_fewer_failures_than_the_threshold_change_nothing() -> None:
    breakers = Breakers()
    for _ in range(FAILURES - 1):
        breakers.failed(BAD, now=0.0)
    assert breakers.trusted(FLEET, now=0.0) == FLEET


def test_failures_in_a_row_open_the_circuit() -> None:
    assert opened(BAD).trusted(FLEET, now=0.0) == OTHERS


def test_a_success_in_between_starts_the_count_anew() -> None:
    breakers = Breakers()
    for _ in range(FAILURES - 1):
        breakers.failed(BAD, now=0.0)
    breakers.answered(BAD)
    breakers.failed(BAD, now=0.0)
    assert breakers.trusted(FLEET, now=0.0) == FLEET


def test_an_open_circuit_is_tried_again_after_ten_seconds() -> None:
    breakers = opened(BAD)
    assert breakers.trusted(FLEET, now=9.99) == OTHERS
    assert breakers.trusted(FLEET, now=10.0) == FLEET


def test_only_one_request_probes_a_half_open_circuit() -> None:
    breakers = opened(BAD)
    breakers.picked(BAD, now=10.0)
    assert breakers.trusted(FLEET, now=10.0) == OTHERS


def test_a_probe_that_is_answered_closes_the_circuit() -> None:
    breakers = opened(BAD)
    breakers.picked(BAD, now=10.0)
    breakers.answered(BAD)
    assert breakers.trusted(FLEET, now=10.0) == FLEET
    assert len(breakers) == 0


def test_every_failed_probe_doubles_the_wait_up_to_a_minute() -> None:
    breakers = opened(BAD)
    now, waits = 0.0, []
    for _ in range(5):
        opened_at = now
        while breakers.trusted(FLEET, now) == OTHERS:
            now += 1.0
        waits.append(now - opened_at)
        breakers.picked(BAD, now)
        breakers.failed(BAD, now)
    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_probe_that_is_never_heard_of_is_repeated() -> None:
    """Its client may have gone before the answer: nobody was told anything."""
    breakers = opened(BAD)
    breakers.picked(BAD, now=10.0)
    assert breakers.trusted(FLEET, now=19.0) == OTHERS
    assert breakers.trusted(FLEET, now=20.0) == FLEET


def test_failures_of_requests_sent_before_it_opened_do_not_prolong_it() -> None:
    breakers = opened(BAD)
    for _ in range(20):
        breakers.failed(BAD, now=5.0)
    assert breakers.trusted(FLEET, now=10.0) == FLEET


def test_a_late_success_closes_an_open_circuit_at_once() -> None:
    breakers = opened(BAD)
    breakers.answered(BAD)
    assert breakers.trusted(FLEET, now=0.0) == FLEET


@pytest.mark.parametrize(
    ("failing", "trusted"),
    [
        pytest.param(FLEET[:2], FLEET[2:], id="half may be avoided"),
        pytest.param(FLEET[:3], FLEET, id="more than half and it stands aside"),
        pytest.param(FLEET, FLEET, id="never all"),
    ],
)
def test_the_breaker_stands_aside_when_too_many_fail(
    failing: tuple[Endpoint, ...], trusted: tuple[Endpoint, ...]
) -> None:
    assert opened(*failing).trusted(FLEET, now=0.0) == trusted


def test_a_lone_candidate_is_never_avoided() -> None:
    assert opened(BAD).trusted((BAD,), now=0.0) == (BAD,)


def test_picking_a_healthy_endpoint_is_no_probe() -> None:
    breakers = opened(BAD)
    breakers.picked(FLEET[0], now=10.0)
    assert breakers.trusted(FLEET, now=10.0) == FLEET


def test_endpoints_that_have_left_are_forgotten() -> None:
    breakers = opened(BAD, FLEET[0])
    breakers.keep({FLEET[0].destination})
    assert breakers.trusted(FLEET, now=0.0) == FLEET[1:]
    assert len(breakers) == 1
