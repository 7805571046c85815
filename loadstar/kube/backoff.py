"""How long to wait before the next try: longer each time, never in step with others. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

SHORTEST_SECONDS = 0.2
LONGEST_SECONDS = 10.0
"""A server that comes back is seen by then; a few replicas every ten seconds are no burden."""
FACTOR = 2.0
LONGEST_ASKED_SECONDS = 60.0
"""Of what a server asks for in Retry-After."""


@dataclass(slots=True)
class Backoff:
    """Delays of one sequence of failures; ``reset`` after a success."""

    rng: random.Random
    shortest: float = SHORTEST_SECONDS
    longest: float = LONGEST_SECONDS
    failures: int = 0

    def reset(self) -> None:
        self.failures = 0

    def next(self, asked: float | None = None) -> float:
        """Seconds to wait after one more failure, at least what the server ``asked`` for."""
        # Beyond 32 doublings nothing changes but the size of the number.
        ceiling = min(self.longest, self.shortest * FACTOR ** min(self.failures, 32))
        self.failures += 1
        delay = ceiling * self.rng.uniform(0.5, 1.0)
        return delay if asked is None else max(delay, min(asked, LONGEST_ASKED_SECONDS))
