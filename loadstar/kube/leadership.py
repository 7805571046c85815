"""Who may lead, and for how long it may believe so: decided by values and a clock. No IO.

A leader trusts its own clock, not its last success: past ``renew_deadline`` without a renewal it
has lost, also when it was only stopped and knows nothing of the time in between. Whatever must
have one writer asks ``Fence.check()`` before each write, and may put ``Fence.token`` into what
it writes: who leads later has the larger one. ``lease`` holds elections by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from loadstar.clock import Clock


@dataclass(frozen=True, slots=True)
class Terms:
    """Durations in seconds. A leader stops before another may start."""

    lease: float = 15.0
    """How long others wait after they last saw a renewal."""
    renew_deadline: float = 10.0
    """How long a leader that cannot renew goes on."""
    retry: float = 2.0
    """Between two tries."""

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.renew_deadline < self.lease:
            raise ValueError("must be 0 < retry < renew_deadline < lease")


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says, and since when by our own clock it has said so."""

    holder: str
    transitions: int
    renewed: str
    """The holder's clock, compared for being the same and no more."""
    seconds: float
    """How long it asks others to wait."""
    seen_at: float
    """Clock.now() at which we first saw exactly this."""

    def says_as(self, other: Record) -> bool:
        """Whether the Lease says the same, whenever it was seen."""
        return (self.holder, self.transitions, self.renewed) == (
            other.holder,
            other.transitions,
            other.renewed,
        )


class Step(Enum):
    """What to do with a lease now."""

    CREATE = "create"
    RENEW = "renew"
    TAKE = "take"
    WAIT = "wait"


def step(record: Record | None, identity: str, now: float, terms: Terms) -> Step:
    """What ``identity`` may do, having seen ``record`` (None: there is no lease)."""
    if record is None:
        return Step.CREATE
    if record.holder == identity:
        return Step.RENEW
    if not record.holder or now - record.seen_at >= (record.seconds or terms.lease):
        return Step.TAKE
    return Step.WAIT


class LeaseLost(Exception):
    """Somebody else may lead now: stop writing."""


class Fence:
    """Leadership, as long as it lasts by our own clock."""

    def __init__(self, token: int, identity: str, clock: Clock, seconds: float, at: float) -> None:
        self.token = token
        """Grows with each change of leader (``leaseTransitions``)."""
        self.identity = identity
        self._clock = clock
        self._seconds = seconds
        self._until = at + seconds
        self._over = False

    @property
    def held(self) -> bool:
        """Whether we still lead, to our own certain knowledge."""
        return not self._over and self._clock.now() < self._until

    def check(self) -> None:
        """Raises LeaseLost unless we still lead."""
        if not self.held:
            raise LeaseLost(f"{self.identity} no longer leads (token {self.token})")

    def left(self, now: float) -> float:
        """Seconds that leadership still lasts if nothing is renewed."""
        return self._until - now

    def renewed(self, asked_at: float) -> None:
        """A renewal that was sent at ``asked_at`` succeeded."""
        self._until = max(self._until, asked_at + self._seconds)

    def end(self) -> None:
        """Over, for good."""
        self._over = True
