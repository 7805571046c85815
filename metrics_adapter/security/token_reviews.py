"""Bearer tokens, by asking the API server (TokenReview). Never kept in clear, never logged."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from loadstar.clock import Clock
from metrics_adapter.security.ask import Measure, insisted
from metrics_adapter.security.identity import User
from metrics_adapter.security.reviews import Kept

KEPT = 4096
AT_ONCE = 32
"""TokenReviews under way together; tokens that anybody may send must not flood the API server."""
MAX_TOKEN_BYTES = 16 * 1024
"""Longer than any service account's token; nobody's beyond that."""


class Reviewer(Protocol):
    """The API server, as far as tokens go: a TokenReview's status. Raises ApiError."""

    async def token_review(self, token: str, audiences: Sequence[str] = ()) -> dict[str, Any]: ...


class TokenReviews:
    """``user_of(token)``, remembered for some seconds whatever the answer."""

    def __init__(
        self,
        reviewer: Reviewer,
        clock: Clock,
        *,
        key: bytes,
        seconds: float,
        audiences: tuple[str, ...],
        measure: Measure,
    ) -> None:
        """``key`` is random, so that what is remembered of tokens is of no use to a reader."""
        self._reviewer = reviewer
        self._clock = clock
        self._measure = measure
        self._key = key
        self._audiences = audiences
        self.kept: Kept[tuple[User | None]] = Kept(
            clock, seconds=lambda _: seconds, most=KEPT, at_once=AT_ONCE
        )

    async def user_of(self, token: str) -> User | None:
        """None for a token that is nobody's. Raises CannotTell."""
        secret = token.encode("utf-8", "surrogateescape")
        if len(secret) > MAX_TOKEN_BYTES:
            return None
        digest = hmac.digest(self._key, secret, hashlib.sha256)
        (user,) = await self.kept.get(digest, lambda: self._ask(token))
        return user

    async def _ask(self, token: str) -> tuple[User | None]:
        status = await insisted(
            lambda: self._reviewer.token_review(token, self._audiences),
            "authn",
            self._clock,
            self._measure,
        )
        return (read(status, self._audiences),)


def read(status: Mapping[str, Any], audiences: tuple[str, ...]) -> User | None:
    """Whom the API server named, if the token is for us."""
    user = status.get("user") or {}
    if status.get("authenticated") is not True or not user.get("username"):
        return None
    # An API server that knows no audiences says none; then the token was made for anybody.
    said = status.get("audiences") or []
    if audiences and said and not set(audiences) & set(said):
        return None
    return User(
        name=user["username"],
        groups=tuple(user.get("groups") or ()),
        uid=user.get("uid") or "",
        extra={key: tuple(values) for key, values in (user.get("extra") or {}).items()},
    )
