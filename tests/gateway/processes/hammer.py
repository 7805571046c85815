"""A worker of the stress test: picks from a shared pool and ends what it picked, as fast as it can.

Run as a process: descriptor of the memory, number of workers, which one, slots, seconds. A pick
and its ending are what the gateway's are: a slot of the membership now known, credits taken and
given back.
"""

from __future__ import annotations

import random
import sys
import time

from gateway.datalayer.inflight import Credit, InFlight
from gateway.datalayer.shared_memory import attach
from gateway.processes.worker import Follower

MOST_HELD = 50
KEPT = 5
"""Credits that last to the end, as some streams do."""


def hammer(fd: int, workers: int, worker: int, slots: int, seconds: float) -> None:
    """Until the time is over; then end what is open."""
    memory = attach(fd, workers, slots)
    follower, rng = Follower(memory, worker), random.Random(worker)
    inflight = InFlight(lambda: follower.store.columns)
    held: list[Credit] = []
    end = time.monotonic() + seconds  # noqa: TID251  # a process of its own, in real time
    while time.monotonic() < end:  # noqa: TID251  # likewise
        follower.look()
        owners = {endpoint.slot: endpoint.name for endpoint in follower.store.state.endpoints}
        for credit in held:
            if owners.get(credit.endpoint.slot, credit.endpoint.name) != credit.endpoint.name:
                raise SystemExit("a slot of two endpoints")
        for _ in range(20):
            endpoints = follower.store.state.endpoints
            if endpoints and len(held) < MOST_HELD and rng.random() < 0.5:
                held.append(inflight.take(rng.choice(endpoints), rng.randrange(500), 100))
            elif len(held) > KEPT:
                credit = held.pop(rng.randrange(KEPT, len(held)))
                if rng.random() < 0.1 and endpoints:
                    inflight.move(credit, rng.choice(endpoints))
                if rng.random() < 0.5:
                    inflight.first_token(credit)
                inflight.give_back(credit)
            if (follower.store.columns.inflight_requests < 0).any():
                raise SystemExit("a count below zero")
    for credit in held:
        inflight.give_back(credit)


if __name__ == "__main__":
    fd, workers, worker, slots = map(int, sys.argv[1:5])
    hammer(fd, workers, worker, slots, float(sys.argv[5]))
