"""A session stays with its endpoint: by the token the client sends back, or by its own id."""

from __future__ import annotations

import base64

import pytest

from gateway.datalayer.state import PoolState
from gateway.plugins.filters.session_affinity import SessionPin
from gateway.plugins.scorers.session_affinity import SessionAffinity
from gateway.scheduling.sessions import (
    IdConfig,
    IdSource,
    RememberedSessions,
    TokenSessions,
    token_of,
)
from gateway.scheduling.types import Cycle, Decision
from loadstar.config.errors import ConfigError
from loadstar.config.load import load
from tests.builders import NOW, candidates, cycle, pool, request

STATE = pool()


def asks(state: PoolState = STATE, now: float = NOW, **headers: str) -> Cycle:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return cycle(state, request=request(headers=named), now=now)


def decided(slot: int) -> Decision:
    return Decision((STATE.endpoints[slot],), "default")


TOKEN = base64.b64encode(b"default/pod-1").decode()


@pytest.mark.parametrize(
    ("token", "scores"),
    [
        pytest.param(TOKEN, [0, 1, 0], id="its endpoint"),
        pytest.param("", [0, 0, 0], id="no token"),
        pytest.param(base64.b64encode(b"default/gone").decode(), [0, 0, 0], id="one that left"),
        pytest.param("%%%", [0, 0, 0], id="no base64"),
        pytest.param(base64.b64encode(b"\xff\xfe").decode(), [0, 0, 0], id="no text"),
        pytest.param("\udcff", [0, 0, 0], id="no ASCII"),
        pytest.param("A" * 100_000, [0, 0, 0], id="endless"),
    ],
)
def test_a_token_names_its_endpoint(token: str, scores: list[int]) -> None:
    asked = asks(x_session_token=token)
    assert SessionAffinity(TokenSessions()).score(asked, candidates(STATE)).tolist() == scores
    kept = SessionPin(TokenSessions()).keep(asked, candidates(STATE)).tolist()
    assert kept == ([bool(score) for score in scores] if any(scores) else [True] * 3)


def test_the_answer_carries_the_token_of_whoever_served() -> None:
    scorer = SessionAffinity(TokenSessions())
    headers = scorer.response_headers(asks(), STATE.endpoints[1])
    assert headers == (("x-session-token", TOKEN),)
    assert token_of(STATE.endpoints[1]) == TOKEN


def test_the_token_may_travel_in_another_header() -> None:
    sessions = TokenSessions("x-home")
    assert sessions.home(asks(x_home=TOKEN), candidates(STATE)) == 1
    assert sessions.home(asks(x_session_token=TOKEN), candidates(STATE)) is None


def test_an_endpoint_that_is_no_candidate_is_no_home() -> None:
    smaller = pool(*STATE.endpoints[2:])
    asked = asks(x_session_token=TOKEN)
    assert TokenSessions().home(asked, candidates(smaller)) is None


def remembered(max_bindings: int = 100) -> RememberedSessions:
    return RememberedSessions(IdConfig(eviction_ttl_seconds=300), max_bindings=max_bindings)


def goes_to(sessions: RememberedSessions, asked: Cycle, slot: int) -> int | None:
    """One request: where it wanted to go; it went to ``slot``."""
    home = sessions.home(asked, candidates(asked.state))
    sessions.picked(asked, decided(slot))
    return home


def test_a_session_is_bound_by_its_first_pick_and_stays() -> None:
    sessions = remembered()
    assert goes_to(sessions, asks(x_session_id="s"), 2) is None
    assert goes_to(sessions, asks(x_session_id="s"), 2) == 2
    assert goes_to(sessions, asks(x_session_id="t"), 0) is None


def test_a_picker_that_chose_another_does_not_move_a_session() -> None:
    sessions = remembered()
    goes_to(sessions, asks(x_session_id="s"), 2)
    goes_to(sessions, asks(x_session_id="s"), 0)
    assert goes_to(sessions, asks(x_session_id="s"), 2) == 2


def test_a_session_moves_when_its_endpoint_is_not_there() -> None:
    sessions, smaller = remembered(), pool(*STATE.endpoints[:2])
    goes_to(sessions, asks(x_session_id="s"), 2)
    assert goes_to(sessions, asks(smaller, x_session_id="s"), 1) is None
    assert goes_to(sessions, asks(x_session_id="s"), 1) == 1


def test_a_session_that_was_served_elsewhere_moves_there() -> None:
    sessions, asked = remembered(), asks(x_session_id="s")
    goes_to(sessions, asked, 2)
    sessions.served(asked, decided(2), STATE.endpoints[0])
    assert sessions.home(asks(x_session_id="s"), candidates(STATE)) == 0


def test_a_session_not_seen_for_its_ttl_is_forgotten() -> None:
    sessions = remembered()
    goes_to(sessions, asks(x_session_id="s", now=NOW), 2)
    assert goes_to(sessions, asks(x_session_id="s", now=NOW + 300), 2) == 2
    assert sessions.home(asks(x_session_id="s", now=NOW + 601), candidates(STATE)) is None
    assert len(sessions) == 0


def test_sessions_remembered_are_bounded() -> None:
    sessions = remembered(max_bindings=10)
    for number in range(1000):
        goes_to(sessions, asks(x_session_id=f"s-{number}"), number % 3)
    assert len(sessions) == 10
    assert sessions.home(asks(x_session_id="s-999"), candidates(STATE)) == 0


def test_the_first_source_that_says_something_wins() -> None:
    config = IdConfig(sources=(IdSource(header="X-User"), IdSource(header="x-session-id")))
    sessions = RememberedSessions(config)
    goes_to(sessions, asks(x_user="u", x_session_id="s"), 2)
    assert sessions.home(asks(x_user="u"), candidates(STATE)) == 2
    assert sessions.home(asks(x_user=" ", x_session_id="s"), candidates(STATE)) is None


def test_a_request_without_an_id_binds_nothing() -> None:
    sessions = remembered()
    goes_to(sessions, asks(), 2)
    assert len(sessions) == 0


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{}", "exactly one of header and attribute must be set"),
        ("{header: a, attribute: b}", "exactly one of header and attribute must be set"),
        ("{attribute: agent-identity}", "use a header"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused(source: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load(IdConfig, f"sources: [{source}]")
