"""A circuit breaker per endpoint: one that keeps failing is avoided for a while, then probed.

Evidence is what the proxy reports: 5xx answers (Envoy's own 502, 503 and 504 for a pod that
cannot be reached among them) and retries that another endpoint had to serve. It only advises:
when it would avoid too many it stands aside. Pure but for memory; called by the director.

    closed    --FAILURES in a row-->  open for 10 s   (a success between starts the count anew)
    open      --time passes-->        half-open       (news of older requests changes nothing)
    half-open --a pick-->             probing         (others avoid it until the probe is answered)
    probing   --failure-->            open for twice as long, at most a minute
    probing   --no news-->            half-open again, after as long as it had been open
    any       --a success-->          closed
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.datalayer.state import Endpoint

FAILURES = 5
"""In a row, as Envoy's ``consecutive_5xx``: one bad request makes a server answer 500 once or
twice between good answers; a dead server fails them all."""

FIRST_OPEN_SECONDS = 10.0
"""The period of a kubelet's readiness probe: a pod that is really down is out of the pool by
then, and the breaker has only bridged the gap."""

LONGEST_OPEN_SECONDS = 60.0
"""A server that has come back is asked again within a minute."""

MOST_AVOIDED = 0.5
"""Share of the candidates. When more than half fail, the cause is hardly theirs (a network, a bad
model), and sending everything to the rest would fell it too. Envoy calls this panic."""

ABOUT_THE_REQUEST = frozenset({501, 505})
"""Not implemented, version not supported: 5xx that a healthy server says."""


def is_failure(status: int) -> bool:
    """Whether an answer with ``status`` speaks against the endpoint that gave it."""
    return status >= 500 and status not in ABOUT_THE_REQUEST


@dataclass(slots=True)
class Circuit:
    """What is held against one endpoint."""

    failures: int = 0
    """In a row."""
    open_seconds: float = 0.0
    """How long it was last opened for; 0 is closed."""
    avoid_until: float = 0.0
    """Seconds, Clock.now(): the end of being open, or of waiting for a probe."""
    probing: bool = False

    def open(self, seconds: float, now: float) -> None:
        self.open_seconds = min(seconds, LONGEST_OPEN_SECONDS)
        self.avoid_until = now + self.open_seconds
        self.probing = False


class Breakers:
    """The circuits of a pool, by destination. An endpoint whose last answer was good has none."""

    def __init__(self) -> None:
        self._circuits: dict[str, Circuit] = {}

    def __len__(self) -> int:
        return len(self._circuits)

    def failed(self, endpoint: Endpoint, now: float) -> None:
        """It answered with a failure, or could not be reached."""
        circuit = self._circuits.setdefault(endpoint.destination, Circuit())
        circuit.failures += 1
        if circuit.open_seconds:
            if circuit.probing or now >= circuit.avoid_until:
                circuit.open(2 * circuit.open_seconds, now)
        elif circuit.failures >= FAILURES:
            circuit.open(FIRST_OPEN_SECONDS, now)

    def answered(self, endpoint: Endpoint) -> None:
        """It gave an answer that is not a failure."""
        if self._circuits:
            self._circuits.pop(endpoint.destination, None)

    def picked(self, endpoint: Endpoint, now: float) -> None:
        """A request goes there; if it is half-open, that request is the probe."""
        circuit = self._circuits.get(endpoint.destination) if self._circuits else None
        if circuit is not None and circuit.open_seconds and now >= circuit.avoid_until:
            circuit.probing = True
            circuit.avoid_until = now + circuit.open_seconds

    def trusted(self, candidates: tuple[Endpoint, ...], now: float) -> tuple[Endpoint, ...]:
        """The candidates that are not avoided at ``now``, in order; all if too many would be."""
        if not self._circuits:
            return candidates
        kept = tuple(e for e in candidates if not self._avoided(e, now))
        too_few = len(candidates) - len(kept) > MOST_AVOIDED * len(candidates)
        return candidates if too_few else kept

    def keep(self, destinations: Collection[str]) -> None:
        """Forget endpoints that are not in the pool any more; so the memory is bounded."""
        if self._circuits:
            self._circuits = {d: c for d, c in self._circuits.items() if d in destinations}

    def _avoided(self, endpoint: Endpoint, now: float) -> bool:
        circuit = self._circuits.get(endpoint.destination)
        return circuit is not None and bool(circuit.open_seconds) and now < circuit.avoid_until
