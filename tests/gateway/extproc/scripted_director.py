"""A director that does as it is told, remembers what it was asked, and can break anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.errors import Refusal
from gateway.request.model import Headers, InferenceRequest, Outcome, Route

HERE = Route(destinations=("10.0.0.1:8000",), ticket=1)


class Bug(Exception):
    """A defect of ours; its text must not reach a log or a client."""


@dataclass
class ScriptedDirector:
    """``answer`` is what ``route`` gives or raises; ``breaks`` names methods that raise Bug."""

    answer: Route | Exception = HERE
    headers: tuple[tuple[str, str], ...] = ()
    breaks: frozenset[str] = frozenset()
    early: Refusal | None = None
    """What ``admit_early`` raises."""
    asked: list[tuple[InferenceRequest, tuple[str, ...] | None]] = field(default_factory=list)
    responses: list[tuple[int, int | None, str | None]] = field(default_factory=list)
    streamed: list[bool] = field(default_factory=list)
    """Of each response, whether its headers said so."""
    first_tokens: list[int] = field(default_factory=list)
    finished: list[tuple[int, Outcome]] = field(default_factory=list)
    taken: int = 0
    """Routes given out."""

    def admit_early(self, headers: Headers, subset: tuple[str, ...] | None, now: float) -> None:
        self._break("admit_early")
        if self.early is not None:
            raise self.early

    def route(self, request: InferenceRequest, subset: tuple[str, ...] | None, now: float) -> Route:
        self.asked.append((request, subset))
        self._break("route")
        if isinstance(self.answer, Exception):
            raise self.answer
        self.taken += 1
        return self.answer

    def responding(
        self,
        ticket: int,
        status: int | None,
        served: str | None,
        now: float,
        *,
        streamed: bool = False,
    ) -> tuple[tuple[str, str], ...]:
        self.responses.append((ticket, status, served))
        self.streamed.append(streamed)
        self._break("responding")
        return self.headers

    def first_token(self, ticket: int, now: float) -> None:
        self.first_tokens.append(ticket)
        self._break("first_token")

    def finish(self, ticket: int, outcome: Outcome, now: float) -> None:
        self.finished.append((ticket, outcome))
        self._break("finish")

    def _break(self, method: str) -> None:
        if method in self.breaks:
            raise Bug("the prompt was: my secret")
