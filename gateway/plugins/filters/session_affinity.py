"""``session-affinity-filter``: a session's requests go to its endpoint and nowhere else.

As long as that endpoint is a candidate: a session without a home keeps everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.sessions import KeepsSessions, SessionParameters, sessions
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools


@dataclass(frozen=True, slots=True)
class SessionPin(KeepsSessions):
    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        home = self.sessions.home(cycle, candidates)
        if home is None:
            return np.ones(len(candidates), np.bool_)
        mask = np.zeros(len(candidates), np.bool_)
        mask[home] = True
        return mask


def session_pin(parameters: SessionParameters, wiring: Wiring) -> SessionPin:
    return SessionPin(sessions(parameters))
