"""``session-affinity-scorer``: 1 for the endpoint a session belongs to, 0 for all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.sessions import KeepsSessions, SessionParameters, sessions
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats


@dataclass(frozen=True, slots=True)
class SessionAffinity(KeepsSessions):
    """A session without a home scores 0 everywhere: no preference."""

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        scores = np.zeros(len(candidates))
        home = self.sessions.home(cycle, candidates)
        if home is not None:
            scores[home] = 1.0
        return scores


def session_affinity(parameters: SessionParameters, wiring: Wiring) -> SessionAffinity:
    return SessionAffinity(sessions(parameters))
