"""What workers are told of the pool: all of it, or the last that fitted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import pytest

from gateway.datalayer.discovered import Discovered, EndpointSpec
from gateway.datalayer.membership import decode
from gateway.datalayer.shared_columns import SharedColumns
from gateway.datalayer.shared_memory import SharedMemory, create
from gateway.datalayer.store import Datastore
from gateway.processes.telling import WITHHELD, Telling

MANY = 8000
LABEL_BYTES = 2048


def own(number: int) -> dict[str, str]:
    """Labels of 2 KB that no other pod has."""
    return {f"note-{i:02}": f"{number:05}".ljust(56, "x") for i in range(LABEL_BYTES // 63)}


def same(number: int) -> dict[str, str]:
    """Labels of 2 KB, as pods of one template have them, and a name of one's own."""
    return own(0) | {"statefulset.kubernetes.io/pod-name": f"llama-{number}"}


def pool(count: int, labels: Callable[[int], Mapping[str, str]]) -> Discovered:
    return Discovered(
        tuple(
            EndpointSpec(f"p-{n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 8000, labels=labels(n))
            for n in range(count)
        )
    )


def told(memory: SharedMemory) -> int:
    """Of how many endpoints the workers know."""
    return len(decode(memory.membership.read(0)[1]).endpoints)


def test_a_membership_that_does_not_fit_leaves_the_last_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    memory = create(1)
    store = Datastore(columns=SharedColumns(memory, 64))
    telling = Telling(store, memory.membership)
    store.on_applied(telling.tell)
    store.apply(pool(3, own))
    assert (told(memory), telling.withheld_bytes) == (3, 0)
    for _ in range(2):
        store.apply(pool(MANY, own))
    (gauge,) = telling.collect()
    assert told(memory) == 3
    assert (gauge.name, gauge.samples[0].value) == (WITHHELD, telling.withheld_bytes)
    assert telling.withheld_bytes > memory.membership.room
    store.apply(pool(4, own))
    assert (told(memory), telling.withheld_bytes) == (4, 0)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_labels_that_pods_share_are_said_once() -> None:
    memory = create(1)
    store = Datastore(columns=SharedColumns(memory, 64))
    telling = Telling(store, memory.membership)
    store.on_applied(telling.tell)
    store.apply(pool(MANY, same))
    said = decode(memory.membership.read(0)[1])
    assert said.endpoints == store.state.endpoints
    assert len(memory.membership.read(0)[1]) < 4 << 20
