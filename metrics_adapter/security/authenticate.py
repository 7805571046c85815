"""From a connection and its headers to a user, in the order in which Kubernetes asks.

Front proxy, client certificate, bearer token, nobody. Bad credentials do not hide good ones that
come later in that order, but where none is good they are a refusal and not "anonymous". Only the
token needs anybody else; the rest is pure. Called by the API's rim, once a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol
from urllib.parse import unquote

from metrics_adapter.security.identity import (
    ANONYMOUS,
    BadCredentials,
    CannotTell,
    User,
    authenticated,
)
from metrics_adapter.security.peer import Peer
from metrics_adapter.security.trust import ProxyHeaders, Trust

BEARER = "bearer"


class Headers(Protocol):
    """A multidict: names in any case, any number of values each."""

    def getall(self, name: str, default: list[str]) -> list[str]: ...

    def items(self) -> Iterable[tuple[str, str]]: ...


class Tokens(Protocol):
    """Who a bearer token belongs to."""

    async def user_of(self, token: str) -> User | None:
        """None for a token that is nobody's. Raises CannotTell."""
        ...


def by_certificate(peer: Peer, headers: Headers, trust: Trust) -> User | None:
    """The user that a verified certificate stands for; None where it says nothing of one.

    Raises BadCredentials where it cannot be taken for anything.
    """
    if peer.anchor in trust.proxy.ders:
        allowed = trust.headers.allowed_names
        if not allowed or peer.common_name in allowed:
            user = _spoken_for(headers, trust.headers)
            if user is not None:
                return user
        elif peer.anchor not in trust.clients.ders:
            raise BadCredentials(f"{peer.common_name!r} is not a name that the proxy may have")
    if peer.anchor in trust.clients.ders:
        if not peer.common_name:
            raise BadCredentials("a client certificate without a common name")
        return User(peer.common_name, peer.organizations)
    if peer.anchor not in trust.proxy.ders:
        raise BadCredentials("a certificate of a CA that is no longer trusted")
    return None


def _spoken_for(headers: Headers, config: ProxyHeaders) -> User | None:
    """Whom the front proxy speaks for."""
    name = _first(headers, config.username)
    if not name:
        return None
    groups = [value for header in config.group for value in headers.getall(header, []) if value]
    return User(name, tuple(groups), _first(headers, config.uid), _extra(headers, config))


def _first(headers: Headers, names: Iterable[str]) -> str:
    for name in names:
        for value in headers.getall(name, []):
            if value:
                return value
    return ""


def _extra(headers: Headers, config: ProxyHeaders) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for prefix in config.extra_prefixes:
        start = prefix.lower()
        for header, value in headers.items():
            lowered = header.lower()
            if start and lowered.startswith(start):
                key = unquote(lowered[len(start) :])
                found[key] = (*found.get(key, ()), value)
    return found


def bearer_token(headers: Headers) -> str | None:
    """The token of ``Authorization: Bearer``; None where there is none of that kind."""
    for value in headers.getall("Authorization", []):
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() == BEARER and token.strip():
            return token.strip()
    return None


async def authenticate(
    peer: Peer | None, headers: Headers, trust: Trust, tokens: Tokens | None
) -> User:
    """Who calls. Raises BadCredentials for credentials that are nobody's."""
    refused = ""
    if peer is not None:
        try:
            user = by_certificate(peer, headers, trust)
        except BadCredentials as error:
            refused = str(error)
        else:
            if user is not None:
                return authenticated(user)
    token = bearer_token(headers)
    if token is not None:
        if tokens is None:
            refused = refused or "a bearer token, and nobody to ask about it"
        else:
            try:
                owner = await tokens.user_of(token)
            except CannotTell as error:
                raise BadCredentials(
                    f"a bearer token that could not be reviewed: {error}"
                ) from error
            if owner is not None:
                return authenticated(owner)
            refused = refused or "a bearer token that is nobody's"
    if refused:
        raise BadCredentials(refused)
    return ANONYMOUS
