"""``session-affinity-filter``: a session's requests go to its endpoint and nowhere else.

As long as that endpoint is a candidate: a session without a home keeps everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.datalayer.state import Endpoint
from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.sessions import SessionParameters, Sessions, sessions
from gateway.scheduling.types import Candidates, Cycle, Decision
from loadstar.arrays import Bools


@dataclass(frozen=True, slots=True)
class SessionPin:
    sessions: Sessions

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        home = self.sessions.home(cycle, candidates)
        if home is None:
            return np.ones(len(candidates), np.bool_)
        mask = np.zeros(len(candidates), np.bool_)
        mask[home] = True
        return mask

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        self.sessions.picked(cycle, decision)

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        self.sessions.served(cycle, decision, endpoint)

    def left(self, endpoint: Endpoint) -> None:
        self.sessions.left(endpoint)

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        return self.sessions.response_headers(cycle, endpoint)


def session_pin(parameters: SessionParameters, wiring: Wiring) -> SessionPin:
    return SessionPin(sessions(parameters))
