"""Laws of the session: whatever Envoy may do, it gets a legal order of answers and all the bytes.

Hypothesis draws a conversation (modes, splits, trailers, hidden parts, refusals, early answers,
a client that leaves) and plays it against a model of Envoy's filter that knows nothing of us.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, note
from hypothesis import strategies as st

from gateway.errors import Denied, NoEndpoint, Refusal, Shed
from gateway.extproc.messages import (
    Admitted,
    Announced,
    AnswerImmediately,
    AskAdmission,
    AskResponse,
    AskRoute,
    BodyMode,
    Command,
    Direction,
    Event,
    Finished,
    FirstToken,
    Refused,
    RequestBody,
    Responding,
    Routed,
)
from gateway.extproc.session import Limits, Session
from gateway.request.model import Ending, Outcome, Route
from tests.gateway.extproc.envoy_filter import Half, HttpMessage

LIMITS = Limits(max_body_bytes=100_000, chunk_bytes=62_000)
MODEL, TARGET = "llama", "meta-llama-3"


def chat(model: str, filler: str) -> bytes:
    content = {"role": "user", "content": f"say {MODEL} {filler}"}
    return json.dumps({"messages": [content], "model": model, "stream": True}).encode()


def event_stream(model: str) -> bytes:
    events = [
        {"model": model, "choices": [{"delta": {"content": f'"model":"{TARGET}"'}}]},
        {"model": model, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
    ]
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


@dataclass
class Plan:
    """One conversation, before it happens."""

    request: HttpMessage
    response: HttpMessage
    announced: bool
    rewrites: bool
    refusal: Refusal | None
    refuses_early: bool
    """The refusal comes before the body where it can."""
    follows: bool
    """The route wants the response read to its end."""
    leaves_after: int
    """Messages until the client leaves; more than there are is never."""
    answers_early: bool
    """Something answers before the request has passed."""
    repeats_end: bool
    turns: list[bool] = field(default_factory=list)
    """Who goes first where both sides may: True is the response."""


@st.composite
def splits(draw: st.DrawFn, body: bytes) -> tuple[bytes, ...]:
    """``body`` in any pieces, some of them empty."""
    at = sorted(draw(st.lists(st.integers(0, len(body)), max_size=5)))
    return tuple(body[a:b] for a, b in zip([0, *at], [*at, len(body)], strict=True))


@st.composite
def requests(draw: st.DrawFn, mode: BodyMode) -> HttpMessage:
    known = draw(st.booleans())
    filler = draw(st.sampled_from(["", "x" * 70_000]))
    body = chat(MODEL, filler) if known else draw(st.binary(max_size=40))
    has_body = known or draw(st.booleans())
    headers = [(":path", "/v1/chat/completions" if known else "/other")]
    if has_body and draw(st.booleans()):
        headers.append(("content-length", str(len(body))))
    return HttpMessage(
        Direction.REQUEST,
        tuple(headers),
        draw(splits(body)) if has_body else (),
        mode,
        has_trailers=draw(st.booleans()),
        shows_headers=draw(st.integers(0, 9)) > 0,
        shows_trailers=mode is BodyMode.FULL_DUPLEX_STREAMED or draw(st.booleans()),
        buffer_limit=draw(st.integers(1, 200)),
    )


@st.composite
def responses(draw: st.DrawFn, mode: BodyMode) -> HttpMessage:
    body = event_stream(TARGET)
    headers = [(":status", draw(st.sampled_from(["200", "503"])))]
    headers.append(("content-type", "text/event-stream"))
    if draw(st.booleans()):
        headers.append(("content-length", str(len(body))))
    return HttpMessage(
        Direction.RESPONSE,
        tuple(headers),
        draw(splits(body)) if draw(st.booleans()) else (),
        mode,
        has_trailers=draw(st.booleans()),
        shows_headers=draw(st.integers(0, 9)) > 0,
        shows_trailers=mode is BodyMode.FULL_DUPLEX_STREAMED or draw(st.booleans()),
        buffer_limit=draw(st.integers(1, 200)),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    announced = draw(st.integers(0, 4)) > 0
    modes = st.sampled_from(BodyMode)
    duplex = BodyMode.FULL_DUPLEX_STREAMED
    return Plan(
        request=draw(requests(draw(modes) if announced else duplex)),
        response=draw(responses(draw(modes) if announced else duplex)),
        announced=announced,
        rewrites=draw(st.booleans()),
        refusal=draw(st.sampled_from([None, None, None, Shed("busy"), Denied("no")])),
        refuses_early=draw(st.booleans()),
        follows=draw(st.booleans()),
        leaves_after=draw(st.sampled_from([99, 99, *range(8)])),
        answers_early=draw(st.integers(0, 4)) == 0,
        repeats_end=draw(st.booleans()),
        turns=draw(st.lists(st.booleans(), min_size=20, max_size=20)),
    )


class Stage:
    """Plays a plan: Envoy's two halves on one side, a director with a ledger on the other."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.session = Session(LIMITS, lambda: "id")
        self.request = Half(plan.request)
        self.response = Half(plan.response)
        self.told_immediately = False
        self.routes = 0
        self.first_tokens = 0
        self.outcomes: list[Outcome] = []
        self.unanswered_at_the_end = False

    def play(self) -> None:
        if self.plan.announced:
            self.tell(Announced(self.plan.request.mode, self.plan.response.mode))
        for number, event in enumerate(self.conversation()):
            if number == self.plan.leaves_after or self.session.done:
                break
            note(f"Envoy: {str(event)[:200]}")
            self.tell(event)
        self.carry_out(self.session.close(Ending.CLIENT_GONE))
        self.carry_out(self.session.close(Ending.COMPLETE))

    def conversation(self) -> Iterator[Event]:
        repeated = not self.plan.repeats_end
        turns = iter(self.plan.turns)
        while True:
            may_answer = self.request.headers_passed or self.plan.answers_early
            response = self.response.can_send and may_answer
            if self.request.can_send and not (response and next(turns, False)):
                yield self.request.send()
            elif not repeated and self.request.said_its_end:
                repeated = True
                yield RequestBody(b"", end_of_stream=True)
            elif response:
                yield self.response.send()
            else:
                return

    def tell(self, event: Event) -> None:
        self.carry_out(self.session.on(event))

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            note(f"   us: {str(command)[:200]}")
            match command:
                case AskAdmission():
                    early = self.plan.refusal if self.plan.refuses_early else None
                    self.tell(Admitted() if early is None else Refused(early))
                case AskRoute():
                    self.tell(self.route(command))
                case AskResponse():
                    self.tell(Responding((("x-session-token", "t"),)))
                case FirstToken():
                    self.first_tokens += 1
                case Finished():
                    self.outcomes.append(command.outcome)
                    halves = (self.request, self.response)
                    self.unanswered_at_the_end = any(half.unanswered for half in halves)
                case AnswerImmediately():
                    assert not self.response.begun, "the client has a response already"
                    self.told_immediately = True
                case _:
                    assert not self.told_immediately, "nothing follows an immediate answer"
                    request = command.direction is Direction.REQUEST
                    (self.request if request else self.response).take(command)

    def route(self, ask: AskRoute) -> Event:
        if ask.subset == ():
            return Refused(NoEndpoint("empty subset"))
        if self.plan.refusal is not None:
            return Refused(self.plan.refusal)
        self.routes += 1
        target = TARGET if self.plan.rewrites else None
        return Routed(Route(("10.0.0.1:8000",), 7, target, follow=self.plan.follows))

    def bodies_that_may_arrive(self) -> list[bytes]:
        """What the model server may see: the model changed where it can be, else every byte."""
        body = self.plan.request.body
        changed = body.replace(model_value(MODEL), model_value(TARGET))
        if not self.routes or not self.plan.rewrites:
            return [body]
        if self.plan.request.mode in (BodyMode.FULL_DUPLEX_STREAMED, BodyMode.BUFFERED):
            return [changed]
        return [body, changed]  # It depends on how much of the body could be seen at once.

    def answers_that_may_arrive(self) -> list[bytes]:
        """What the client may see; of a partly shown body only that part is mapped back."""
        response = self.plan.response
        shown = len(response.body)
        if response.mode is BodyMode.BUFFERED_PARTIAL:
            shown = response.buffer_limit
        mapped = response.body[:shown].replace(model_value(TARGET), model_value(MODEL))
        mapped += response.body[shown:]
        renamed = model_value(TARGET) in bytes(self.request.forwarded)
        in_order = self.plan.request.mode is not BodyMode.STREAMED and not self.plan.answers_early
        if renamed and response.shows_headers and in_order:
            return [mapped]
        return [response.body, mapped] if renamed else [response.body]


def model_value(model: str) -> bytes:
    return f'"model": "{model}"'.encode()


@given(plans())
def test_any_conversation_gets_legal_answers_and_loses_nothing(plan: Plan) -> None:
    stage = Stage(plan)
    stage.play()  # Spurious is raised by the filter itself.

    assert len(stage.outcomes) == stage.routes <= 1
    assert stage.first_tokens <= stage.routes
    if stage.told_immediately:
        return
    left = plan.leaves_after < 99
    if not left and not stage.session.done:
        assert stage.request.passed, "Envoy waits for an answer about the request"
        assert stage.response.passed, "Envoy waits for an answer about the response"
    if stage.request.passed and plan.request.mode is not BodyMode.NONE:
        assert bytes(stage.request.forwarded) in stage.bodies_that_may_arrive()
    if stage.response.passed and plan.response.mode is not BodyMode.NONE:
        assert bytes(stage.response.forwarded) in stage.answers_that_may_arrive()


@given(plans())
def test_a_stream_is_complete_if_and_only_if_the_response_was(plan: Plan) -> None:
    stage = Stage(plan)
    stage.play()
    for outcome in stage.outcomes:
        if outcome.ending is Ending.COMPLETE:
            assert stage.response.begun
            assert not stage.response.has_bytes_to_send
        elif outcome.ending is not Ending.LET_GO:
            assert not stage.response.said_its_end


@given(plans())
def test_a_response_is_let_go_only_where_nothing_can_be_lost(plan: Plan) -> None:
    """Envoy has kept every byte of it, no byte of it has to change, and the request has passed."""
    stage = Stage(plan)
    stage.play()
    for outcome in stage.outcomes:
        if outcome.ending is Ending.LET_GO:
            assert not plan.follows
            assert plan.response.mode is not BodyMode.FULL_DUPLEX_STREAMED
            assert not stage.response.forwarded
            assert not stage.unanswered_at_the_end
            # Where no body is shown there is none to name the model back in.
            if plan.response.mode is not BodyMode.NONE:
                assert model_value(TARGET) not in bytes(stage.request.forwarded)
            assert not outcome.response_bytes
