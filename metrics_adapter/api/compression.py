"""Long answers, packed for callers that can unpack them. Pure.

A list of 1,000 pods is 200 KB, and 12 KB like this: what matters where the API server is not in our
network but at the other end of a tunnel. Packing 200 KB takes 0.3 ms, a sixth of writing the list.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from metrics_adapter.api.answer import Answer
from metrics_adapter.api.negotiate import clauses

LONG_BYTES: Final = 128 * 1024
"""From here on; the bound that kube-apiserver has for its own answers."""
FASTEST: Final = 1
"""zlib's level: the others take longer and save little more of such lists."""
GZIP: Final = 31
"""zlib's window bits for gzip's format."""
NAMES: Final = ("gzip", "x-gzip", "*")


def compressed(answer: Answer, accept_encoding: Iterable[str]) -> Answer:
    """``answer`` in gzip if it is long and the caller takes that, else as it is."""
    if len(answer.body) < LONG_BYTES:
        return answer
    headers = {**answer.headers, "Vary": _also(answer.headers.get("Vary", ""))}
    if not takes_gzip(accept_encoding):
        return replace(answer, headers=headers)
    packer = zlib.compressobj(FASTEST, wbits=GZIP)
    body = packer.compress(answer.body) + packer.flush()
    return replace(answer, body=body, headers={**headers, "Content-Encoding": "gzip"})


def takes_gzip(accept_encoding: Iterable[str]) -> bool:
    """Whether a header says so, and does not take it back with ``q=0``."""
    for clause in clauses(accept_encoding):
        if clause.type in NAMES:
            return not _is_zero(clause.parameters.get("q", "1"))
    return False


def _is_zero(quality: str) -> bool:
    return quality.replace(".", "", 1).strip("0") == "" and quality != ""


def _also(vary: str) -> str:
    return f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"
