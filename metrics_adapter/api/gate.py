"""Who asks, and whether they may: one call before each answer. It counts, and refuses by name.

It puts ``authenticate`` and ``authorize`` in a row; what they could not find out is a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from metrics_adapter.errors import Forbidden, Internal, Unauthorized
from metrics_adapter.metrics import Metrics
from metrics_adapter.security.attributes import Attributes
from metrics_adapter.security.authenticate import Headers, Tokens, authenticate
from metrics_adapter.security.authorize import Authorizer, forbidden
from metrics_adapter.security.identity import (
    ANONYMOUS_NAME,
    BadCredentials,
    CannotTell,
    User,
)
from metrics_adapter.security.peer import Peer
from metrics_adapter.security.trust import Trust

log = logging.getLogger(__name__)

IMPERSONATION = "impersonate-"


@dataclass(slots=True)
class Passage:
    """What became known of a request on its way, for the audit log."""

    user: User | None = None
    decision: str = ""
    reason: str = ""
    details: dict[str, object] = field(default_factory=dict)


class Gate:
    """Lets through whoever may. ``trust`` gives what certificates are judged by now."""

    def __init__(
        self,
        trust: Callable[[], Trust],
        tokens: Tokens | None,
        authorizer: Authorizer,
        metrics: Metrics,
    ) -> None:
        self._trust = trust
        self._tokens = tokens
        self._authorizer = authorizer
        self._metrics = metrics

    async def pass_through(
        self, peer: Peer | None, headers: Headers, what: Attributes, passage: Passage
    ) -> None:
        """Fills ``passage``. Raises Unauthorized, Forbidden or Internal."""
        try:
            user = await authenticate(peer, headers, self._trust(), self._tokens)
        except BadCredentials as error:
            self._metrics.authenticated("failure", "")
            # A warning, for those are held back when they come in floods.
            log.warning("unauthorized: %s", error)
            raise Unauthorized("Unauthorized") from error
        passage.user = user
        if user.name != ANONYMOUS_NAME:
            self._metrics.authenticated("success", user.name)
        # Who impersonates asks to have fewer rights than they have; to overlook that would be to
        # answer as somebody mightier. kube-apiserver has taken the headers off what it sends.
        if any(name.lower().startswith(IMPERSONATION) for name, _ in headers.items()):
            passage.decision, passage.reason = "forbid", "impersonation"
            raise Forbidden("impersonation is not supported here; ask through the API server")
        try:
            verdict = await self._authorizer.may(user, what)
        except CannotTell as error:
            self._metrics.decided("error")
            log.warning("cannot tell who may: %s", error)
            raise Internal(f'Internal Server Error: "{what.path}"') from error
        passage.reason = verdict.reason
        if verdict.allowed:
            passage.decision = "allow"
            self._metrics.decided("allowed")
            return
        passage.decision = "forbid"
        self._metrics.decided("denied")
        if what.resource:
            passage.details = {"name": what.name, "group": what.group, "kind": what.resource}
        raise Forbidden(forbidden(user, what))
