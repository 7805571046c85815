"""The pool's membership, written where the workers read it, as long as it fits.

Shared memory is bounded and the labels of pods are not. A membership that does not fit is withheld:
the workers serve on with the last that did, which is said once and measured until one fits again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from gateway.datalayer.membership import encode
from gateway.datalayer.shared_memory import Board
from gateway.datalayer.store import Datastore

log = logging.getLogger(__name__)

WITHHELD = "loadstar_gateway_membership_withheld_bytes"


class Telling:
    """Tells the workers of every change of ``store``; a Collector of one gauge beside it."""

    def __init__(self, store: Datastore, board: Board) -> None:
        self._store = store
        self._board = board
        self.withheld_bytes = 0
        """The size of the membership that does not fit; 0 while the workers have the newest."""

    def tell(self) -> None:
        """Write the membership as it is now, or withhold it. Never raises for its size."""
        text = encode(self._store.membership)
        if len(text) > self._board.room:
            if not self.withheld_bytes:
                log.error(
                    "the pool's members and their labels do not fit into shared memory: workers"
                    " serve on with those they know; give the pods fewer or shorter labels, or"
                    " run with --workers=1",
                    extra={
                        "bytes": len(text),
                        "room_bytes": self._board.room,
                        "endpoints": len(self._store.state.endpoints),
                    },
                )
            self.withheld_bytes = len(text)
            return
        self._board.write(0, text)
        if self.withheld_bytes:
            self.withheld_bytes = 0
            log.warning(
                "the pool's members fit again: workers have them", extra={"bytes": len(text)}
            )

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            WITHHELD,
            "Size of a membership too large for the workers, who serve on with the last; 0: none.",
            float(self.withheld_bytes),
        )
