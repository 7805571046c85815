"""Real processes hammer one shared pool while its members change and a worker is killed.

What must hold throughout: no count below zero, no slot that is anybody's while a credit for its
last owner is out. At the end every count is zero.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

from gateway.datalayer.discovered import Discovered, EndpointSpec
from gateway.datalayer.shared_memory import SharedMemory, create
from gateway.processes.collector import shared_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

WORKERS, SLOTS, SECONDS = 3, 8192, 4.0


def hammer(memory: SharedMemory, worker: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.gateway.processes.hammer"),
            *map(str, (memory.fd, WORKERS, worker, SLOTS, SECONDS)),
        ],
        pass_fds=(memory.fd,),
    )


def test_every_credit_comes_back_and_no_slot_is_shared() -> None:
    memory = create(WORKERS, SLOTS)
    (store, _), rng = shared_store(memory), random.Random(1)
    names = [f"e{number}" for number in range(24)]
    owners: dict[int, str] = {}

    def change() -> None:
        """Other members; whoever gets a slot that was another's must find it empty."""
        members = rng.sample(names, rng.randrange(4, len(names)))
        store.apply(
            Discovered(tuple(EndpointSpec(n, "10.0.0.1", 1 + names.index(n)) for n in members))
        )
        for endpoint in store.state.endpoints:
            before = owners.get(endpoint.slot)
            if before is not None and before != endpoint.name:
                reused.append(endpoint.slot)
            owners[endpoint.slot] = endpoint.name

    reused: list[int] = []
    change()
    workers = [hammer(memory, worker) for worker in range(WORKERS)]
    killed = False
    picked = 0
    try:
        while any(worker.poll() is None for worker in workers):
            change()
            # In flight on slots that no member has, and that wait for their credits:
            waiting = {slot for slot, _ in store.membership.given_up}
            members = set(store.state.slots.tolist())
            assert not waiting & members
            assert len(members) == len(store.state.endpoints)
            sums = store.columns.inflight_requests
            assert (sums >= 0).all()
            busy = {slot for slot in range(len(sums)) if sums[slot] > 0}
            assert busy <= waiting | members
            picked = max(picked, int(sums.sum()))
            if not killed and int(memory.counted[0, 0].sum()) > 10:
                killed = True
                workers[0].kill()
                workers[0].wait()
                assert int(memory.counted[0, 0].sum()) > 0
                memory.bury(0)
                workers[0] = hammer(memory, 0)
            time.sleep(0.02)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
        codes = [worker.wait() for worker in workers]
        os.close(memory.fd)
    assert codes == [0, 0, 0]
    assert killed
    assert picked > 10
    assert len(reused) > 10
    assert not memory.counted.any()
    for number in range(WORKERS):
        memory.bury(number)
    store.apply(Discovered())
    store.apply(Discovered((EndpointSpec("last", "10.0.0.2", 1),)))
    assert store.state.endpoints[0].slot in owners
