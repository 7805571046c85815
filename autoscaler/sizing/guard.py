"""What keeps a size from flapping: up at once, down late, slowly, and only for what is in excess.

Counts are replicas of the reference kind; ``step`` is the smallest number that can be bought or
given back. State is explicit and small. The planner calls it on every decision.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from autoscaler.policy.model import ScaleDownPolicy

EXCESS: Final = 0.05
"""A size is left downwards only when it is too large by this, or by as much as arrivals vary: the
dead band lies where being wrong costs a little money, and not where it costs requests."""

_LOOKED_BACK: Final = 1.0 / 3.0
"""Share of the window over which the most that was wanted is what a size goes down to."""
SCARCE_BACK_S: Final = 3600.0
"""The same where capacity was lately not to be had: jobs come back on the hour."""
_LEAST_S: Final = 300.0
"""The shortest window that an empty node's rest leaves: that of an HPA."""


@dataclass(slots=True)
class DownGuard:
    """Waits a window after every way up, then goes down to the most wanted in a third of it.

    What turns soon after it rose is what flaps; what was wanted long before says little of now.
    ``rest_s`` is how long an emptied node is kept anyway, which counts towards the window: a
    replica that comes back meanwhile finds it, and until then nothing is saved.
    """

    policy: ScaleDownPolicy
    rest_s: float = 0.0
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)  # falling maxima
    _last_s: float | None = None
    _since_s: float | None = None
    _rose_s: float | None = None

    def window_s(self) -> float:
        """How long after a way up nothing goes."""
        whole_s = self.policy.window_s
        return max(whole_s - self.rest_s, min(whole_s, _LEAST_S))

    def rose(self, now_s: float) -> None:
        """A size was raised for what lasts."""
        self._rose_s = now_s

    def note(self, now_s: float, wanted: int, *, scarce: bool = False) -> int:
        """Remember ``wanted``; returns the most wanted in a third of a window.

        If capacity is ``scarce``, in an hour or in the third of a window that is even longer.
        """
        if self._since_s is None:
            self._since_s = now_s
        while self._wanted and self._wanted[-1][1] <= wanted:
            self._wanted.pop()
        self._wanted.append((now_s, wanted))
        usual_s = _LOOKED_BACK * self.window_s()
        kept_s = max(usual_s, SCARCE_BACK_S)
        while now_s - self._wanted[0][0] > kept_s:
            self._wanted.popleft()
        back_s = kept_s if scarce else usual_s
        return next(most for at_s, most in self._wanted if now_s - at_s <= back_s)

    def full(self, now_s: float) -> bool:
        """Whether the window has been watched from end to end: before that nothing goes down."""
        return self._since_s is not None and now_s - self._since_s >= self.window_s()

    def restart(self) -> None:
        """Begin the window anew, after a gap in what was seen."""
        self._since_s = None
        self._wanted.clear()

    def lowered(self, now_s: float, current: int, target: int, step: int) -> int:
        """The size to go down to now, of ``current`` towards ``target``."""
        if target >= current or not self.full(now_s):
            return current
        if self._rose_s is not None and now_s - self._rose_s < self.window_s():
            return current
        if self._last_s is not None and now_s - self._last_s < 60.0:
            return current
        most = max(step, math.floor(self.policy.per_minute * current))
        lowered = max(target, current - most)
        if lowered < current:
            self._last_s = now_s
        return lowered
