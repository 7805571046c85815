"""One client's request in flight: between its HTTP connection and its choices in the engine.

Made by ``server`` per request, called back by ``replica`` per token, ends with the answer, the
client's going away, or a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from load_tests.emulator.engine import EngineRequest, Generation
from load_tests.emulator.http1 import Connection
from load_tests.emulator.ledger import Ledger
from load_tests.emulator.prompts import Answer, chain, count
from load_tests.emulator.replica import Replica
from load_tests.emulator.wire import Said, Usage, Wire, openai_error

DROP_DELAY_SECONDS = 0.002
EVENT_STREAM = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Ask:
    """One understood request."""

    path: str
    method: str
    received_bytes: int
    wire: Wire
    streamed: bool
    salt: str
    """What else than text makes prefixes differ."""
    adapter: str | None
    choices: Sequence[tuple[bytes, int, str]]
    """Per choice: prompt, tokens to generate, why it will end."""
    copies: int
    """Choices per prompt, side by side."""
    headers: str


class _Choice:
    """What was said of one choice so far."""

    __slots__ = ("answer", "emitted", "reason", "sent")

    def __init__(self, answer: Answer, reason: str) -> None:
        self.answer = answer
        self.reason = reason
        self.emitted = 0  # tokens that the engine made
        self.sent = 0  # tokens that the client was given


class HttpExchange:
    """Turns tokens into the answer of ``connection``."""

    def __init__(
        self,
        ask: Ask,
        connection: Connection,
        replica: Replica,
        ledger: Ledger,
        *,
        token_batch: int,
        drop_after_tokens: int | None,
    ) -> None:
        self.streamed = ask.streamed
        self._ask = ask
        self._connection = connection
        self._replica = replica
        self._ledger = ledger
        self._token_batch = token_batch
        self._drop_after_tokens = drop_after_tokens
        self._began_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._generations: list[Generation] = []
        self._choices: list[_Choice] = []
        self._left = len(ask.choices)
        self._started = False
        self._over = False

    def begin(self, api_seconds: float) -> None:
        """Submit after the API server's own work of ``api_seconds`` real seconds."""
        self._began_at = self._replica.now()
        self._connection.on_lost = self._client_gone
        self._connection.on_writable = self._flush_all
        self._timer = self._replica.later(api_seconds, self._submit)

    def token(self, choice: int) -> None:
        said = self._choices[choice]
        said.emitted += 1
        due = said.emitted == 1 or said.emitted - said.sent >= self._token_batch
        if due and self._connection.writable:
            self._flush(choice)
        if self._drop_after_tokens is not None and said.emitted >= self._drop_after_tokens:
            self._flush(choice)
            self._drop()

    def done(self, choice: int, generation: Generation) -> None:
        if self._over:
            return
        self._ledger.ended(generation, self._choices[choice].reason)
        if self.streamed:
            self._flush(choice)
        self._left -= 1
        if self._left:
            return
        if not self.streamed and self._drop_after_tokens is not None:
            self._drop()
            return
        self._over = True
        said = [Said(c.answer.text().decode(), c.reason) for c in self._choices]
        if self.streamed:
            self._connection.send(self._ask.wire.closing(said, self._usage()))
            self._answered(200)
            self._connection.finish()
        else:
            body = self._ask.wire.whole(said, self._usage())
            self._answered(200, len(body))
            self._connection.respond(200, body, "application/json", self._ask.headers)

    def _submit(self) -> None:
        ask = self._ask
        requests = []
        known: dict[bytes, list[int]] = {}
        for prompt, tokens, reason in ask.choices:
            answer = Answer(prompt, tokens)
            self._choices.append(_Choice(answer, reason))
            if prompt not in known:
                known[prompt] = chain(prompt + answer.text(), ask.salt)
            requests.append(EngineRequest(count(prompt), tokens, known[prompt], ask.adapter))
        try:
            self._generations = self._replica.submit(self, requests)
        except ValueError as e:
            self._over = True
            body = openai_error(400, "BadRequestError", str(e))
            self._connection.respond(400, body, "application/json", ask.headers)

    def _flush(self, choice: int) -> None:
        """Send the tokens of ``choice`` that were made but not sent."""
        said, wire = self._choices[choice], self._ask.wire
        first, end, last = said.sent, said.emitted, said.answer.tokens - 1
        if first == end:
            return
        if not self._started:
            self._started = True
            self._connection.start(200, EVENT_STREAM, self._ask.headers)
        token = said.answer.token
        events = [] if first else [wire.opening(choice, self._usage())]
        for index in range(first, end):
            reason = said.reason if index == last else None
            events.append(wire.token(choice, token(index), reason))
        said.sent = end
        self._connection.send(b"".join(events))

    def _flush_all(self) -> None:
        if not self._over:
            for choice in range(len(self._choices)):
                self._flush(choice)

    def _usage(self) -> Usage:
        own = self._generations[:: self._ask.copies]  # each prompt counts once
        return Usage(
            prompt=sum(g.request.prompt_tokens for g in own),
            completion=sum(c.answer.tokens for c in self._choices),
            cached=sum(g.cached_tokens for g in own),
        )

    def _answered(self, status: int, sent: int = 0) -> None:
        ask = self._ask
        seconds = self._replica.now() - self._began_at
        self._ledger.answered(ask.path, ask.method, status, ask.received_bytes, sent, seconds)

    def _client_gone(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._replica.abort(self._generations)

    def _drop(self) -> None:
        """Break off: the client sees its connection die in the middle."""
        self._over = True
        self._connection.on_lost = None
        self._replica.abort(self._generations)
        # Not at once: aborting would also throw away what was just written.
        self._replica.later(DROP_DELAY_SECONDS, self._connection.abort)
