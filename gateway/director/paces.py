"""How fast endpoints answer: from response headers to the first token, and per token after it.

Learnt from the responses that are followed to their end, for the expected duration of those that
are not. By endpoint and model, by model where that endpoint is new to it, else a prior. Called by
the director; pure but for memory.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

MEMORY = 32
"""Answers an average remembers, as for output lengths: a pace changes with the load."""

MOST_KNOWN = 4096
"""Pairs of endpoint and model remembered; the least recently seen is dropped."""


class Pace(NamedTuple):
    """Seconds until the first token, counted from the response's headers, and per token then."""

    first_token: float
    per_token: float

    def duration(self, tokens: int) -> float:
        """Seconds from the response's headers to the end of an answer of ``tokens``."""
        return self.first_token + self.per_token * max(tokens - 1, 0)


PRIOR = Pace(first_token=0.2, per_token=0.03)
"""Of a loaded 8B model on an L4 to H100: 10 to 50 ms per token, and a prefill of one to two
thousand tokens, which vLLM begins after it has sent the headers."""


class Paces:
    """Mean pace of each endpoint and model: of the first ``MEMORY`` answers, then weighted."""

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._means: OrderedDict[tuple[str, str], tuple[Pace, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._means)

    def expected(self, destination: str, model: str) -> Pace:
        """The pace to expect of the endpoint at ``destination`` for ``model``."""
        known = self._means.get((destination, model)) or self._means.get(("", model))
        return PRIOR if known is None else known[0]

    def observe(self, destination: str, model: str, pace: Pace) -> None:
        """The endpoint at ``destination`` has completed an answer at ``pace``."""
        for key in ((destination, model), ("", model)):
            mean, seen = self._means.get(key, (pace, 0))
            seen = min(seen + 1, MEMORY)
            self._means[key] = (
                Pace(
                    mean.first_token + (pace.first_token - mean.first_token) / seen,
                    mean.per_token + (pace.per_token - mean.per_token) / seen,
                ),
                seen,
            )
            self._means.move_to_end(key)
        while len(self._means) > self._most:
            self._means.popitem(last=False)
