"""What the headers of a request say, and what to change in them on the way up. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gateway.extproc.messages import HeaderMutation
from gateway.extproc.session.control_headers import (
    CONTENT_LENGTH,
    DESTINATION,
    REQUEST_ID,
    believed,
    upstream,
)
from gateway.extproc.session.lengths import declared_length
from gateway.request.classify import dialect_of
from gateway.request.model import Dialect, Headers, Route
from loadstar.records import record

ASSUMED_PATH = "/v1/completions"
"""Of headers without a path, which only a test harness sends; the reference assumes the same."""


@record
class RequestHead:
    """The headers of one request, read once."""

    id: str
    id_is_new: bool
    """The client sent none: ours has to be added."""
    path: str
    dialect: Dialect
    content_length: int | None
    headers: Headers
    sent: Mapping[str, str]
    """The same by name, the last value of each."""

    @property
    def believed(self) -> Headers:
        """What the rest of the gateway may see."""
        return believed(self.headers, self.sent)

    @property
    def content_type(self) -> str:
        return self.sent.get("content-type", "")

    @property
    def content_encoding(self) -> str:
        return self.sent.get("content-encoding", "")

    def mutation(
        self, route: Route | None, *, new_length: bool = False, length: int | None = None
    ) -> HeaderMutation:
        """What to change on the way up; ``route`` is None where a request passes unrouted.

        With ``new_length`` the body is not as long as declared: the header says ``length``, or
        goes where nobody can know it.
        """
        ours: tuple[tuple[str, str], ...] = ()
        if route is not None:
            ours = ((DESTINATION, destination(route)), *route.request_headers)
        if self.id_is_new:
            ours = (*ours, (REQUEST_ID, self.id))
        if not new_length:
            return upstream(self.sent, ours)
        if length is None or self.content_length is None:
            return upstream(self.sent, ours, (CONTENT_LENGTH,))
        return upstream(self.sent, (*ours, (CONTENT_LENGTH, str(length))))


NOT_SHOWN = RequestHead(
    id="",
    id_is_new=False,
    path="",
    dialect=Dialect.OPAQUE,
    content_length=None,
    headers=Headers(),
    sent=MappingProxyType({}),
)
"""Of a request whose headers Envoy does not send us (header mode SKIP)."""


def read_head(headers: Headers, new_request_id: Callable[[], str]) -> RequestHead:
    """Read ``headers``; an absent or empty request id becomes a new one."""
    sent = dict(headers)
    sent_id = sent.get(REQUEST_ID, "")
    path = (
        sent.get(":path")
        or sent.get("x-original-path")
        or sent.get("x-forwarded-path")
        or ASSUMED_PATH
    )
    return RequestHead(
        id=sent_id or new_request_id(),
        id_is_new=not sent_id,
        path=path,
        dialect=dialect_of(path),
        content_length=declared_length(sent.get(CONTENT_LENGTH)),
        headers=headers,
        sent=sent,
    )


def destination(route: Route) -> str:
    """The endpoints of ``route``, best first, as proxies read them."""
    return ",".join(route.destinations)
