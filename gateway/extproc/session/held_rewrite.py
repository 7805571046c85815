"""Change the model in a STREAMED request body, holding back no more than it takes to find it.

In this mode the route is chosen before the body is seen, and each chunk must be answered before
Envoy sends trailers; so bytes may only be held while it is certain that another chunk comes.
That is known from a declared content-length. Without one, the model is changed only if the
first chunk has it whole. When in doubt bytes travel unchanged; they are never lost.
"""

from __future__ import annotations

from gateway.errors import BadRequest
from gateway.request.parse import read_body
from gateway.request.rewrite import with_model

MOST_HELD = 1024 * 1024
"""Bytes. Engines' clients write the model first; a body that has not named it by then will not."""


class HeldRewrite:
    """Feed it the chunks of one request body; it says what to put in their place."""

    def __init__(
        self, path: str, content_type: str, content_encoding: str, declared: int | None, model: str
    ) -> None:
        self.original = ""
        """The model the body named, once it has been changed; else empty."""
        self._described = (path, content_type, content_encoding)
        self._declared = declared
        self._model = model
        self._held: list[bytes] = []
        self._size = 0
        self._read_at = 0
        self._settled = False

    def feed(self, chunk: bytes, end_of_stream: bool) -> bytes | None:
        """What replaces ``chunk``; None leaves it as it is, b"" says it comes with a later one."""
        if self._settled:
            return None
        self._held.append(chunk)
        self._size += len(chunk)
        more_will_come = (
            not end_of_stream and self._declared is not None and self._size < self._declared
        )
        if more_will_come and self._size < min(2 * self._read_at, MOST_HELD):
            return b""  # Read again only when there is twice as much, or a slow body costs n².
        body = b"".join(self._held)
        self._read_at = self._size
        changed = self._changed(body, truncated=not end_of_stream)
        if changed is None and more_will_come and self._size < MOST_HELD:
            return b""
        self._settled = True
        alone = len(self._held) == 1
        self._held.clear()
        if changed is None:
            return None if alone else body
        return changed

    def _changed(self, body: bytes, truncated: bool) -> bytes | None:
        """``body`` with the model changed; None if it names none (yet), or this one."""
        try:
            parsed = read_body(*self._described, body, truncated)
        except BadRequest:
            return None  # It is on its way already; the model server will say what is wrong.
        if parsed.model_span is None or parsed.model == self._model:
            return None
        self.original = parsed.model
        return with_model(body, parsed.model_span, self._model)
