"""Map the model name in a response back to the one the client asked for.

Only the value of the key ``model`` at the top of the object, or of the response (Responses API)
or message (Anthropic) it carries; never text that looks like it. Called by the session for each
piece of the response body, when the request's model was rewritten.
"""

from __future__ import annotations

from gateway.request.carrier import carrier_of
from gateway.request.json_stream import BEGIN, END, ValueWatch
from gateway.request.json_text import Agreement, Spelling, quoted
from gateway.request.model import Dialect


class ModelRenamer:
    """Replaces the model name ``old`` by ``new`` in one response, cut into pieces anywhere.

    Holds back only what may still become ``old``: at most the bytes of its longest spelling.
    """

    __slots__ = ("_held", "_new", "_old", "_open", "_watch")

    def __init__(self, dialect: Dialect, event_stream: bool, old: str, new: str) -> None:
        self._watch = ValueWatch("model", carrier_of(dialect), event_stream)
        self._old = Spelling(old)
        self._new = quoted(new)
        self._open = False  # a value has begun that may be the old name
        self._held = b""  # its bytes that earlier pieces brought

    def feed(self, chunk: bytes, end_of_stream: bool) -> bytes:
        """The bytes to pass on for ``chunk``; all that is left at the end of the stream."""
        out: list[bytes] = []
        done = start = 0
        for mark, at in self._watch.feed(chunk):
            if mark == BEGIN:
                self._open, start = True, at
                continue
            if mark == END and self._open:
                token = self._held + chunk[start:at]
                if self._old.compare(token) is Agreement.WHOLE:
                    out += (chunk[done:start], self._new)
                    done = at
                    self._held = b""
            self._give_up(out)
        if self._open:
            token = self._held + chunk[start:]
            if not end_of_stream and self._old.compare(token) is Agreement.SO_FAR:
                out.append(chunk[done:start])
                self._held = token
                return b"".join(out)
            self._give_up(out)
        return b"".join((*out, chunk[done:])) if out else chunk[done:]

    def _give_up(self, out: list[bytes]) -> None:
        """What is held is not, or no longer, the old name: pass it on as it came."""
        if self._held:
            out.append(self._held)
        self._held, self._open = b"", False
