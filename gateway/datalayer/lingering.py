"""Credits of responses that nobody follows to their end, kept for as long as they should last.

Where an ext_proc stream ends with the response's headers, the endpoint goes on generating unseen.
Its credit stays until the time the answer is expected to take is over, or until the endpoint's own
counters say that it cannot be running any more. Time is an argument; the director calls.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass

from gateway.datalayer.inflight import Credit, InFlight

LONGEST_SECONDS = 600.0
"""No credit outlasts this, however long its answer is expected to be: the field's longest request
timeouts. It bounds the harm of a bad estimate where no metrics correct it."""

MOST_LINGERING = 65_536
"""Credits kept, about 30 MB. Beyond it one more is given back at once: that many open answers say
by themselves that the pool is full."""

SLACK = 1024
"""Entries of the schedule that may be out of date before it is made anew."""


@dataclass(slots=True, eq=False)
class Lingerer:
    """One credit that lingers. Times are seconds, ``Clock.now()``."""

    number: int
    credit: Credit
    since: float
    until: float


class Lingering:
    """Gives credits back to ``inflight`` when their time is over. One thread; no method raises."""

    def __init__(self, inflight: InFlight, most: int = MOST_LINGERING) -> None:
        self._inflight = inflight
        self._most = most
        self._last_number = 0
        self._count = 0
        self._by_slot: dict[int, OrderedDict[int, Lingerer]] = {}
        """Oldest first. Only slots that have any."""
        self._due: list[tuple[float, int, Lingerer]] = []
        """Heap of what happens next to each; entries whose credit has gone are skipped."""

    def __len__(self) -> int:
        """Credits that linger."""
        return self._count

    @property
    def slots(self) -> list[int]:
        """Slots of endpoints with credits that linger."""
        return list(self._by_slot)

    def keep(
        self, credit: Credit, *, first_token_seconds: float, seconds: float, now: float
    ) -> None:
        """Keep ``credit`` for ``seconds`` from ``now``, its prefill for ``first_token_seconds``.

        Durations below zero are none at all; a credit that is not held is left alone.
        """
        lasts = min(seconds, LONGEST_SECONDS)
        if not credit.held:
            return
        if not lasts > 0 or self._count >= self._most:
            self._inflight.give_back(credit)
            return
        self._last_number += 1
        lingerer = Lingerer(self._last_number, credit, now, now + lasts)
        self._by_slot.setdefault(credit.endpoint.slot, OrderedDict())[lingerer.number] = lingerer
        self._count += 1
        self._schedule(now + max(min(first_token_seconds, lasts), 0.0), lingerer)

    def sweep(self, now: float) -> None:
        """Give back what is due at ``now``."""
        while self._due and self._due[0][0] <= now:
            _, _, lingerer = heapq.heappop(self._due)
            if not self._lingers(lingerer):
                continue
            if now < lingerer.until:
                self._inflight.first_token(lingerer.credit)
                self._schedule(lingerer.until, lingerer)
            else:
                self._end(lingerer)

    def reported(self, slot: int, requests: float, others: int, at: float) -> int:
        """An endpoint said at ``at`` that it has ``requests``, running and waiting together.

        ``others`` are requests of ours that it certainly works on besides these. As it cannot have
        fewer than both together, the oldest credits that are too many are given back. Only those
        that lingered before ``at`` are counted. Returns how many were given back.
        """
        lingering = self._by_slot.get(slot)
        if lingering is None:
            return 0
        # In order of age, as they were kept: those from before ``at`` come first.
        known = []
        for lingerer in lingering.values():
            if lingerer.since >= at:
                break
            known.append(lingerer)
        excess = max(min(len(known), len(known) + others - int(requests)), 0)
        for lingerer in known[:excess]:
            self._end(lingerer)
        return excess

    # --- inside ---------------------------------------------------------------------------------

    def _lingers(self, lingerer: Lingerer) -> bool:
        return lingerer.number in self._by_slot.get(lingerer.credit.endpoint.slot, ())

    def _end(self, lingerer: Lingerer) -> None:
        slot = lingerer.credit.endpoint.slot
        lingering = self._by_slot[slot]
        del lingering[lingerer.number]
        if not lingering:
            del self._by_slot[slot]
        self._count -= 1
        self._inflight.give_back(lingerer.credit)

    def _schedule(self, when: float, lingerer: Lingerer) -> None:
        heapq.heappush(self._due, (when, lingerer.number, lingerer))
        # What was given back early leaves its entry behind; they must not pile up.
        if len(self._due) > 2 * self._count + SLACK:
            self._due = [entry for entry in self._due if self._lingers(entry[2])]
            heapq.heapify(self._due)
