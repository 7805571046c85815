"""Callers and certificates with defaults for all but what a test is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from multidict import CIMultiDict

from loadstar.kube.errors import ApiError
from metrics_adapter.security.peer import Peer
from metrics_adapter.security.trust import Authority, ProxyHeaders, Trust

PROXY_CA, CLIENT_CA, OTHER_CA = b"proxy ca", b"client ca", b"other ca"
HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"


def trust(*, names: Sequence[str] = ("front-proxy-client",), uid: Sequence[str] = ()) -> Trust:
    return Trust(
        proxy=Authority(b"", frozenset({PROXY_CA})),
        clients=Authority(b"", frozenset({CLIENT_CA})),
        headers=ProxyHeaders(allowed_names=tuple(names), uid=tuple(uid)),
    )


def peer(
    name: str = "front-proxy-client", *, anchor: bytes = PROXY_CA, groups: Sequence[str] = ()
) -> Peer:
    return Peer(anchor, name, tuple(groups))


def headers(*pairs: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(pairs)


@dataclass
class ApiServer:
    """Reviews as an API server gives them; it can be told to fail, and says what it was asked."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Token -> user."""
    allows: Callable[[dict[str, Any]], bool] = lambda spec: False
    errors: list[ApiError] = field(default_factory=list)
    """Raised by the next questions, one each."""
    asked: list[Any] = field(default_factory=list)

    async def token_review(self, token: str, audiences: Sequence[str] = ()) -> dict[str, Any]:
        self._next(token)
        if token not in self.users:
            return {"user": {}, "error": "invalid bearer token"}
        answer: dict[str, Any] = {"authenticated": True, "user": self.users[token]}
        return {**answer, "audiences": list(audiences)} if audiences else answer

    async def subject_access_review(self, spec: dict[str, Any]) -> dict[str, Any]:
        self._next(spec)
        return {"allowed": self.allows(spec), "reason": "as told"}

    def _next(self, question: Any) -> None:
        self.asked.append(question)
        if self.errors:
            raise self.errors.pop(0)
