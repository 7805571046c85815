"""``session-affinity-scorer``: 1 for the endpoint a session belongs to, 0 for all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.datalayer.state import Endpoint
from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.sessions import SessionParameters, Sessions, sessions
from gateway.scheduling.types import Candidates, Cycle, Decision
from loadstar.arrays import Floats


@dataclass(frozen=True, slots=True)
class SessionAffinity:
    """A session without a home scores 0 everywhere: no preference."""

    sessions: Sessions

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        scores = np.zeros(len(candidates))
        home = self.sessions.home(cycle, candidates)
        if home is not None:
            scores[home] = 1.0
        return scores

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        self.sessions.picked(cycle, decision)

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        self.sessions.served(cycle, decision, endpoint)

    def left(self, endpoint: Endpoint) -> None:
        self.sessions.left(endpoint)

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        return self.sessions.response_headers(cycle, endpoint)


def session_affinity(parameters: SessionParameters, wiring: Wiring) -> SessionAffinity:
    return SessionAffinity(sessions(parameters))
