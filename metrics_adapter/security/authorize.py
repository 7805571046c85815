"""Whether a user may: masters and probes always, everybody else as the API server answers.

A SubjectAccessReview per question, remembered for a while. No answer is not a yes: it is an error,
told apart from a no. Called by the API's rim, once a request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from loadstar.clock import Clock
from metrics_adapter.security.ask import Measure, insisted
from metrics_adapter.security.attributes import Attributes
from metrics_adapter.security.identity import MASTERS, User
from metrics_adapter.security.reviews import Kept

KEPT = 8192
AT_ONCE = 64
MAX_KEPT_BYTES = 10_000
"""Questions longer than this are not remembered: callers choose how long they are."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer of the API server; ``reason`` is what it said besides."""

    allowed: bool
    reason: str = ""


class Reviewer(Protocol):
    """The API server, as far as rights go: a review's status. Raises ApiError."""

    async def subject_access_review(self, spec: dict[str, Any]) -> dict[str, Any]: ...


class Authorizer(Protocol):
    """Whoever answers."""

    async def may(self, user: User, what: Attributes) -> Verdict:
        """Raises CannotTell."""
        ...


class AlwaysAllowed:
    """Everything is allowed: for a server that only this machine reaches."""

    async def may(self, user: User, what: Attributes) -> Verdict:
        return Verdict(True)


class AccessReviews:
    """Asks the API server. ``paths`` are for everybody (a final ``*`` stands for the rest)."""

    def __init__(
        self,
        reviewer: Reviewer,
        clock: Clock,
        *,
        paths: Collection[str],
        allow_seconds: float,
        deny_seconds: float,
        measure: Measure,
    ) -> None:
        self._reviewer = reviewer
        self._clock = clock
        self._measure = measure
        self._exact = frozenset(path for path in paths if not path.endswith("*"))
        self._under = tuple(path[:-1] for path in paths if path.endswith("*"))
        self.kept: Kept[Verdict] = Kept(
            clock,
            seconds=lambda verdict: allow_seconds if verdict.allowed else deny_seconds,
            most=KEPT,
            at_once=AT_ONCE,
        )

    async def may(self, user: User, what: Attributes) -> Verdict:
        if MASTERS in user.groups:
            return Verdict(True)
        if not what.resource and (
            what.path in self._exact or (self._under and what.path.startswith(self._under))
        ):
            return Verdict(True)
        spec = review_spec(user, what)
        key = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)

        async def ask() -> Verdict:
            return read(
                await insisted(
                    lambda: self._reviewer.subject_access_review(spec),
                    "authz",
                    self._clock,
                    self._measure,
                )
            )

        return await self.kept.get(key, ask, keep=len(key) < MAX_KEPT_BYTES)


def review_spec(user: User, what: Attributes) -> dict[str, Any]:
    """The question, as a SubjectAccessReview puts it."""
    spec: dict[str, Any] = {"user": user.name, "groups": list(user.groups)}
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if what.resource:
        asked = {
            "verb": what.verb,
            "group": what.group,
            "version": what.version,
            "namespace": what.namespace,
            "resource": what.resource,
            "subresource": what.subresource,
            "name": what.name,
        }
        spec["resourceAttributes"] = {key: value for key, value in asked.items() if value}
    else:
        spec["nonResourceAttributes"] = {"path": what.path, "verb": what.verb}
    return spec


def read(status: Mapping[str, Any]) -> Verdict:
    """The API server's answer; denied wins over allowed."""
    allowed = status.get("allowed") is True and status.get("denied") is not True
    return Verdict(allowed, status.get("reason") or "")


def forbidden(user: User, what: Attributes) -> str:
    """The sentence that kube-apiserver would say."""
    who = f'User "{user.name}"'
    if not what.resource:
        return f'forbidden: {who} cannot {what.verb} path "{what.path}"'
    resource = f"{what.resource}/{what.subresource}" if what.subresource else what.resource
    where = f' in the namespace "{what.namespace}"' if what.namespace else " at the cluster scope"
    named = f' "{what.name}"' if what.name else ""
    return (
        f"{what.resource}.{what.group}{named} is forbidden: {who} cannot {what.verb} resource "
        f'"{resource}" in API group "{what.group}"{where}'
    )
