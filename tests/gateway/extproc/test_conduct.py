"""One stream at its rim: asks reach the director, failures become answers, routes come back."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytest

from gateway.errors import (
    STATUS,
    BadRequest,
    NoEndpoint,
    PayloadTooLarge,
    Refusal,
    Shed,
    ShuttingDown,
)
from gateway.extproc import conduct
from gateway.extproc.conduct import Conductor
from gateway.extproc.encode import response
from gateway.extproc.session import Limits, Room
from gateway.extproc.session.room import SMALL_BYTES
from gateway.request.model import Ending, Outcome, Route, Usage
from gateway.request.usage import UsageReader
from loadstar.telemetry.logging import TRACE
from tests.fakes.clock import ManualClock
from tests.gateway.extproc.scripted_director import HERE, Bug, ScriptedDirector
from tests.gateway.extproc.wire_messages import (
    SERVED,
    SUBSET,
    headers_set,
    request_body,
    request_headers,
    response_body,
    response_headers,
    with_metadata,
)

CHAT = b'{"model":"llama","messages":[{"role":"user","content":"hi"}]}'
ANSWER = b'{"model":"llama","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}'
HEADERS = (
    (":path", "/v1/chat/completions"),
    ("content-type", "application/json"),
    ("x-request-id", "r-1"),
)
OK = ((":status", "200"), ("content-type", "application/json"))


def conductor(director: ScriptedDirector, limits: Limits | None = None) -> Conductor:
    return Conductor(director, ManualClock(), limits or Limits(), lambda: "generated")


def say(conductor: Conductor, messages: Iterable[Any]) -> list[Any]:
    return [answer for message in messages for answer in conductor.on(message)]


def whole_conversation() -> list[Any]:
    return [
        request_headers(*HEADERS),
        request_body(CHAT),
        response_headers(*OK),
        response_body(ANSWER, end_of_stream=True),
    ]


def kinds(answers: Iterable[Any]) -> list[str]:
    return [answer.WhichOneof("response") for answer in answers]


def test_a_whole_conversation() -> None:
    director = ScriptedDirector(headers=(("x-session-token", "t"),))
    stream = conductor(director)
    served = with_metadata(response_headers(*OK), "envoy.lb", **{SERVED: "10.0.0.2:8000"})
    answers = say(stream, [*whole_conversation()[:2], served, *whole_conversation()[3:]])
    assert kinds(answers) == [
        "request_headers",
        "request_body",
        "response_headers",
        "response_body",
    ]
    assert headers_set(answers[0], "request_headers") == {
        "x-gateway-destination-endpoint": "10.0.0.1:8000"
    }
    assert headers_set(answers[2], "response_headers") == {"x-session-token": "t"}
    assert stream.done
    assert director.responses == [(1, 200, "10.0.0.2:8000")]
    assert director.first_tokens == [1]
    usage = Usage(input_tokens=5, output_tokens=2)
    outcome = Outcome(Ending.COMPLETE, 200, usage, len(CHAT), len(ANSWER))
    assert director.finished == [(1, outcome)]


def test_the_director_hears_of_a_stream_by_the_answer_s_headers() -> None:
    director = ScriptedDirector()
    events = ((":status", "200"), ("content-type", "text/event-stream; charset=utf-8"))
    for headers in (OK, events):
        say(conductor(director), [*whole_conversation()[:2], response_headers(*headers)])
    assert director.streamed == [False, True]


def test_the_director_sees_the_request_and_the_hint() -> None:
    director = ScriptedDirector()
    hinted = with_metadata(
        request_headers(*HEADERS), "envoy.lb.subset_hint", **{SUBSET: ["10.0.0.1:8000"]}
    )
    say(conductor(director), [hinted, request_body(CHAT)])
    ((request, subset),) = director.asked
    assert (request.id, request.model, request.body_bytes) == ("r-1", "llama", len(CHAT))
    assert subset == ("10.0.0.1:8000",)


@pytest.mark.parametrize(
    ("refusal", "status"),
    [pytest.param(kind("no"), STATUS[kind], id=kind.__name__) for kind in STATUS],
)
def test_a_refusal_is_an_immediate_response(refusal: Refusal, status: int) -> None:
    director = ScriptedDirector(answer=refusal)
    stream = conductor(director)
    (answer,) = say(stream, whole_conversation())
    assert answer.immediate_response.status.code == status
    assert headers_set(answer, "immediate_response")["x-request-id"] == "r-1"
    assert headers_set(answer, "immediate_response")["content-type"] == "application/json"
    assert stream.done
    assert director.finished == []


def test_a_refusal_the_table_does_not_know_takes_its_parents_status() -> None:
    class Overloaded(Shed):
        """A new way to be shed."""

    (answer,) = say(conductor(ScriptedDirector(answer=Overloaded("x"))), whole_conversation())
    assert answer.immediate_response.status.code == 429


def test_refusals_of_our_own_do_not_ask_the_director() -> None:
    director = ScriptedDirector()
    small = conductor(director, Limits(max_body_bytes=10))
    (too_large,) = say(small, whole_conversation())
    (bad,) = say(conductor(director), [request_headers(*HEADERS), request_body(b"{")])
    assert too_large.immediate_response.status.code == STATUS[PayloadTooLarge]
    assert bad.immediate_response.status.code == STATUS[BadRequest]
    assert director.asked == []


@pytest.mark.parametrize("ending", [Ending.CLIENT_GONE, Ending.PROXY_GONE, Ending.SHUTDOWN])
def test_long_bodies_of_all_streams_share_a_bound(ending: Ending) -> None:
    """However a stream ends, what it held is free for the next."""
    room, long = Room(1000), bytes(SMALL_BYTES + 600)

    def stream() -> Conductor:
        made = Conductor(ScriptedDirector(), ManualClock(), Limits(), lambda: "id", room=room)
        assert say(made, [request_headers(*HEADERS)]) == []
        return made

    slow, routed, third = stream(), stream(), stream()
    assert say(slow, [request_body(long, end_of_stream=False)]) == []
    (refused,) = say(routed, [request_body(long, end_of_stream=False)])
    assert refused.immediate_response.status.code == 503
    assert b'"code":"no_room"' in refused.immediate_response.body
    padding = b" " * (SMALL_BYTES + 300)
    assert kinds(say(third, [request_body(padding + CHAT[:1], end_of_stream=False)])) == []
    slow.close(ending)
    assert kinds(say(third, [request_body(CHAT[1:])]))[0] == "request_headers"
    assert room.held_bytes == 0


def test_refusals_of_our_own_are_told_of_and_the_director_s_are_not_told_twice() -> None:
    told: list[str] = []

    def stream(director: ScriptedDirector, limits: Limits) -> Conductor:
        return Conductor(director, ManualClock(), limits, lambda: "generated", told.append)

    say(stream(ScriptedDirector(), Limits(max_body_bytes=10)), whole_conversation())
    say(stream(ScriptedDirector(), Limits()), [request_headers(*HEADERS), request_body(b"{")])
    stream(ScriptedDirector(), Limits()).refuse(ShuttingDown("the gateway is shutting down"))
    say(stream(ScriptedDirector(answer=NoEndpoint("x")), Limits()), whole_conversation())
    say(stream(ScriptedDirector(early=NoEndpoint("x")), Limits()), whole_conversation())
    say(stream(ScriptedDirector(), Limits()), whole_conversation())
    assert told == ["request_too_large", "invalid_request", "shutting_down"]


def test_the_log_tells_what_became_of_a_request_and_nothing_it_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(TRACE, "gateway.extproc.conduct")
    secret = request_headers(*HEADERS, ("authorization", "Bearer secret"))
    stream = conductor(ScriptedDirector())
    say(stream, [secret, *whole_conversation()[1:]])
    stream.close(Ending.COMPLETE)
    say(conductor(ScriptedDirector()), [secret, request_body(b'{"secret')])
    told = [(r.getMessage(), r.__dict__.get("code")) for r in caplog.records]
    assert [one for one in told if one[0] != "message"] == [
        ("routed", None),
        ("ended", None),
        ("refused", "invalid_request"),
    ]
    assert {r.__dict__["request_id"] for r in caplog.records if r.getMessage() != "message"} == {
        "r-1"
    }
    said = " ".join(str(r.__dict__) for r in caplog.records)
    assert "secret" not in said
    assert "hi" not in said.split()


class TestWhenWeBreak:
    """Whatever raises, Envoy gets an answer and the route comes back, once."""

    def test_in_the_director(self, caplog: pytest.LogCaptureFixture) -> None:
        director = ScriptedDirector(breaks=frozenset({"route"}))
        (answer,) = say(conductor(director), whole_conversation())
        assert answer.immediate_response.status.code == 500
        assert b"secret" not in answer.SerializeToString()
        assert director.finished == []
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "'r-1' failed with Bug at " in record.getMessage()
        assert "scripted_director.py" in record.getMessage()
        assert "secret" not in caplog.text

    def test_in_what_follows_a_route(self) -> None:
        """A route that cannot be said is refused and given back."""
        director = ScriptedDirector(answer=Route(("a:1",), 5, rewrite_to=7))  # type: ignore[arg-type]  # a broken director
        stream = conductor(director)
        (answer,) = say(stream, whole_conversation())
        stream.close(Ending.CLIENT_GONE)
        assert answer.immediate_response.status.code == 500
        assert director.finished == [(5, Outcome(Ending.FAILED, None, request_bytes=len(CHAT)))]

    @pytest.mark.parametrize("method", ["responding", "first_token", "finish"])
    def test_in_bookkeeping(self, method: str, caplog: pytest.LogCaptureFixture) -> None:
        """The client's response does not suffer."""
        director = ScriptedDirector(breaks=frozenset({method}))
        stream = conductor(director)
        answers = say(stream, whole_conversation())
        stream.close(Ending.COMPLETE)
        assert kinds(answers)[-2:] == ["response_headers", "response_body"]
        assert [ticket for ticket, _ in director.finished] == [1]
        assert len(caplog.records) == 1

    def test_in_reading_a_response(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From the failure on, the bytes pass unchanged and unread."""
        director = ScriptedDirector()
        stream = conductor(director)
        say(stream, whole_conversation()[:3])
        monkeypatch.setattr(UsageReader, "feed", _break)
        answers = say(
            stream, [response_body(b"one"), response_body(b"two"), response_body(b"", True)]
        )
        chunks = [a.response_body.response.body_mutation.streamed_response for a in answers]
        assert [(c.body, c.end_of_stream) for c in chunks] == [
            (b"one", False),
            (b"two", False),
            (b"", True),
        ]
        assert [(t, o.ending) for t, o in director.finished] == [(1, Ending.COMPLETE)]

    def test_in_adding_response_headers(self) -> None:
        """The response goes on without them, and is not asked about again."""
        director = ScriptedDirector(headers=7)  # type: ignore[arg-type]  # a broken director
        stream = conductor(director, Limits(conformance_echo=True))
        served = with_metadata(response_headers(*OK), "envoy.lb", **{SERVED: "10.0.0.1:8000"})
        answers = say(stream, [*whole_conversation()[:2], served, *whole_conversation()[3:]])
        assert kinds(answers)[-2:] == ["response_headers", "response_body"]
        assert headers_set(answers[-2], "response_headers") == {}
        assert len(director.responses) == 1
        assert [(t, o.ending) for t, o in director.finished] == [(1, Ending.COMPLETE)]

    def test_in_saying_response_headers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What cannot be said ends the stream: Envoy then goes on without us."""
        director = ScriptedDirector()
        stream = conductor(director)
        say(stream, whole_conversation()[:2])
        monkeypatch.setattr(conduct, "response", _break)
        assert say(stream, whole_conversation()[2:]) == []
        assert stream.done
        assert [(t, o.ending) for t, o in director.finished] == [(1, Ending.FAILED)]

    def test_even_in_saying_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.extproc.session.session.immediate", _break)
        stream = conductor(ScriptedDirector(answer=NoEndpoint("none")))
        (answer,) = say(stream, whole_conversation())
        assert answer == response(conduct.LAST_RESORT)
        assert answer.immediate_response.status.code == 500
        assert stream.done

    def test_in_decoding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(conduct, "events", _break)
        (answer,) = say(conductor(ScriptedDirector()), whole_conversation())
        assert answer.immediate_response.status.code == 500


def _break(*_: object) -> None:
    raise Bug("my secret")


class TestEveryEndingGivesBack:
    @pytest.mark.parametrize("heard", [2, 3], ids=["before the answer", "in the answer"])
    @pytest.mark.parametrize(
        ("ending", "told"),
        [
            pytest.param(Ending.COMPLETE, Ending.CLIENT_GONE, id="half-closed before the end"),
            pytest.param(Ending.CLIENT_GONE, Ending.CLIENT_GONE, id="reset"),
            pytest.param(Ending.PROXY_GONE, Ending.PROXY_GONE, id="connection lost"),
            pytest.param(Ending.SHUTDOWN, Ending.SHUTDOWN, id="drained"),
        ],
    )
    def test_once(self, heard: int, ending: Ending, told: Ending) -> None:
        director = ScriptedDirector(answer=HERE)
        stream = conductor(director)
        say(stream, whole_conversation()[:heard])
        stream.close(ending)
        stream.close(ending)
        assert [(ticket, outcome.ending) for ticket, outcome in director.finished] == [(1, told)]
        assert say(stream, whole_conversation()) == []

    def test_and_an_ended_stream_is_complete(self) -> None:
        director = ScriptedDirector()
        stream = conductor(director)
        say(stream, whole_conversation())
        stream.close(Ending.CLIENT_GONE)
        assert [outcome.ending for _, outcome in director.finished] == [Ending.COMPLETE]

    def test_nothing_taken_nothing_given(self) -> None:
        director = ScriptedDirector()
        stream = conductor(director)
        say(stream, whole_conversation()[:1])
        stream.close(Ending.CLIENT_GONE)
        assert director.finished == []
