"""How long to leave a pool alone that has no capacity to give: 5 minutes, doubling to 30.

The figures are the cluster autoscaler's own, so that both look again at the same pace. A value;
whoever keeps it replaces it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST_S = 300.0
LONGEST_S = 1_800.0
FORGET_AFTER_S = 10_800.0
"""Without a failure for this long, the next one is the first again."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """Closed while capacity comes; open after a stockout."""

    failures: int = 0
    open_until_s: float = -math.inf
    failed_at_s: float = -math.inf

    def is_open(self, now_s: float) -> bool:
        return now_s < self.open_until_s

    def failed(self, now_s: float) -> Circuit:
        """No capacity, once more. While it is open already, that is no news."""
        if self.is_open(now_s):
            return self
        recent = now_s - self.failed_at_s <= FORGET_AFTER_S
        failures = self.failures + 1 if recent else 1
        wait_s = min(FIRST_S * 2 ** min(failures - 1, 10), LONGEST_S)
        return Circuit(failures, now_s + wait_s, now_s)
