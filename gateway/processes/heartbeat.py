"""Who has stopped without dying: counts that children raise and the supervisor looks at.

A process that hangs (a loop that never yields, a stopped process) keeps its connections and its
share of new ones, and no exit tells of it. Each child raises a number several times a second; one
that stands still over many looks is ended, so that another takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LOOK_SECONDS = 1.0
HUNG_LOOKS = 10
"""Looks without a beat. Ten seconds: the longest work of a child on its loop (a reload, a first
compilation on a busy machine) is a few."""
LATE_LOOK_SECONDS = 3.0
"""Between two looks: then the whole machine or all of us stood still, which accuses nobody."""


@dataclass(slots=True)
class Pulse:
    """What is known of one child's beats. ``look`` at it once in ``LOOK_SECONDS``."""

    _beats: int = -1
    _still: int = 0
    _looked_at: float = field(default=float("-inf"))

    def look(self, beats: int, now: float) -> bool:
        """Whether the child hangs, by its count ``beats`` at ``now`` (seconds)."""
        late = now - self._looked_at > LATE_LOOK_SECONDS
        if late or beats != self._beats:
            self._still = 0
        else:
            self._still += 1
        self._beats, self._looked_at = beats, now
        return self._still >= HUNG_LOOKS

    def reset(self) -> None:
        """Another child sits there now."""
        self._beats, self._still = -1, 0
