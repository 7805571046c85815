"""``header-based-testing-filter``: endpoints the request itself names (conformance tests only).

``test-epp-endpoint-selection`` is a list of ``IP`` (any port) or ``IP:port``; a request without
it fits nowhere. Unlike the reference's, it keeps every rank of a pod that is named twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.datalayer.state import host_port
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools

HEADER = "test-epp-endpoint-selection"


@dataclass(frozen=True, slots=True)
class NamedByHeader:
    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        named = {
            _unbracketed(item)
            for value in cycle.request.headers.all(HEADER)
            for item in value.split(",")
            if item.strip()
        }
        return np.array(
            [
                endpoint.address in named or host_port(endpoint.address, endpoint.port) in named
                for endpoint in candidates.endpoints
            ],
            np.bool_,
        )


def _unbracketed(item: str) -> str:
    """``[2600::1]`` is an address in brackets; ``[2600::1]:8000`` keeps them for its port."""
    text = item.strip()
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text
