"""Callers as Kubernetes knows them: a name, groups and extras. Pure values; everybody uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

ANONYMOUS_NAME = "system:anonymous"
UNAUTHENTICATED = "system:unauthenticated"
AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
"""May do everything, everywhere: Kubernetes never asks about them."""


@dataclass(frozen=True, slots=True)
class User:
    """One caller. ``extra`` are attributes that an authenticator vouches for."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


ANONYMOUS = User(ANONYMOUS_NAME, (UNAUTHENTICATED,))


class BadCredentials(Exception):
    """Credentials were shown and are not good: 401. The message is for our log, not the caller."""


class CannotTell(Exception):
    """Whoever would know did not answer; nobody is let in on a guess. 500, or 401 for tokens."""


def authenticated(user: User) -> User:
    """``user`` with the group that everybody who proved a name is in.

    The proxy that forwards an identity leaves it out where the caller is itself; without it the
    cluster's role for discovery does not apply.
    """
    if AUTHENTICATED in user.groups or user.name == ANONYMOUS_NAME:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED))
