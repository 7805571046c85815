"""What one process writes, another reads whole; a slot is nobody's before all have let go."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.datalayer.discovered import Discovered, EndpointSpec
from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.inflight import InFlight
from gateway.datalayer.membership import Membership, decode, encode
from gateway.datalayer.shared_columns import SharedColumns
from gateway.datalayer.shared_memory import GONE, Board, SharedMemory, attach, create
from gateway.datalayer.state import NO_LORA, Columns, Endpoint, LoraState
from gateway.datalayer.store import Datastore
from gateway.request.model_rules import ModelRewrite, Rule, Target

A = EndpointSpec("a", "10.0.0.1", 8000, labels={"role": "decode"}, metrics_port=9)
B = EndpointSpec("b", "10.0.0.2", 8000)
C = EndpointSpec("c", "fd00::3", 8000)


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    made = create(2, slots=256)
    yield made
    os.close(made.fd)


def board(rows: int = 2, room: int = 64) -> Board:
    return Board(
        np.zeros(rows, np.int64),
        np.zeros((rows, 2, 2), np.int64),
        np.zeros((rows, 2, room), np.uint8),
    )


def test_a_board_answers_the_last_text_of_each_row() -> None:
    texts = board()
    assert texts.read(0) == (0, b"")
    texts.write(0, b"first")
    texts.write(0, b"second")
    texts.write(1, b"")
    assert (texts.read(0), texts.read(1)) == ((2, b"second"), (1, b""))


def test_a_writer_that_dies_on_the_way_leaves_the_old_text() -> None:
    versions, heads = np.zeros(1, np.int64), np.zeros((1, 2, 2), np.int64)
    text = np.zeros((1, 2, 64), np.uint8)
    texts = Board(versions, heads, text)
    texts.write(0, b"whole")
    heads[0, 0] = 3, zlib.crc32(b"new")
    text[0, 0, :2] = np.frombuffer(b"ne", np.uint8)
    assert texts.read(0) == (1, b"whole")


def test_a_text_that_is_not_what_its_checksum_says_is_not_answered() -> None:
    versions, heads = np.zeros(1, np.int64), np.zeros((1, 2, 2), np.int64)
    text = np.zeros((1, 2, 64), np.uint8)
    texts = Board(versions, heads, text)
    texts.write(0, b"whole")
    text[0, 1, 0] ^= 1
    assert texts.read(0) == (0, b"")


def test_a_text_that_does_not_fit_changes_nothing() -> None:
    texts = board(room=4)
    texts.write(0, b"1234")
    with pytest.raises(ValueError, match="5 bytes do not fit into 4"):
        texts.write(0, b"12345")
    assert texts.read(0) == (1, b"1234")


def test_another_mapping_of_the_memory_shows_the_same(memory: SharedMemory) -> None:
    other = attach(memory.fd, 2, slots=256)
    memory.measured[0, 7] = 3.0
    memory.membership.write(0, b"{}")
    assert other.measured[0, 7] == 3.0
    assert other.membership.read(0) == (1, b"{}")
    assert np.isnan(other.measured[0, 8])
    assert other.measured[5, 8] == -np.inf


def test_membership_survives_its_text() -> None:
    said = Membership(
        epoch=4,
        capacity=129,
        endpoints=(Endpoint("a", "ns", "fd00::1", 8000, 128, {"role": "prefill"}, 9000),),
        objectives={"high": 5, "low": -1},
        rewrites=(ModelRewrite("r", (Rule(("m",), (Target(1, "x"), Target(0, "y"))),)),),
        given_up=((3, 4),),
        next_slot=129,
    )
    assert decode(encode(said)) == said


def test_workers_count_apart_and_read_together(memory: SharedMemory) -> None:
    one, two, collector = (SharedColumns(memory, 64, who) for who in (0, 1, None))
    endpoint = Endpoint("a", "default", "10.0.0.1", 8000, 5)
    first, second = InFlight(lambda: one), InFlight(lambda: two)
    credit = first.take(endpoint, 100, 70)
    second.take(endpoint, 10, 7)
    for columns in (one, two, collector):
        assert (
            int(columns.inflight_requests[5]),
            int(columns.inflight_tokens[5]),
            int(columns.inflight_prefill[5]),
        ) == (2, 110, 77)
    first.give_back(credit)
    assert int(collector.inflight_requests[5]) == 1
    memory.bury(1)
    assert not collector.inflight_requests.any()


def test_what_the_collector_reads_reaches_the_workers(memory: SharedMemory) -> None:
    store = Datastore(columns=SharedColumns(memory, 64))
    worker = SharedColumns(memory, 64, 0)
    store.sync([A])
    lora = LoraState(frozenset({"x"}), frozenset({"y"}), 4)
    store.observed(store.state.endpoints[0], EndpointLoad(waiting=2.0, lora=lora), 10.0)
    worker.refresh_lora()
    assert (worker.waiting[0], worker.observed_at[0], worker.lora[0]) == (2.0, 10.0, lora)
    assert np.isnan(worker.running[0])


def test_of_more_adapters_than_fit_the_waiting_ones_are_left_out_first(
    memory: SharedMemory,
) -> None:
    running = frozenset(f"running-{i:03}" for i in range(50))
    waiting = frozenset(f"waiting-{i:03}" for i in range(500))
    SharedColumns(memory, 8).set_lora(0, LoraState(running, waiting, 50))
    seen = SharedColumns(memory, 8, 0).lora[0]
    assert seen.running == running
    assert seen.waiting < waiting


def test_a_store_that_adopts_decides_as_the_other_and_tells_the_same(
    memory: SharedMemory,
) -> None:
    first, second = (Datastore(columns=SharedColumns(memory, 1)) for _ in range(2))
    told: list[tuple[str, str]] = []
    second.on_joined(lambda endpoint: told.append(("joined", endpoint.name)))
    second.on_left(lambda endpoint: told.append(("left", endpoint.name)))
    first.apply(Discovered((A, B), {"high": 1}))
    second.adopt(decode(encode(first.membership)))
    assert told == [("joined", "a"), ("joined", "b")]
    assert second.synced
    assert second.state.endpoints == first.state.endpoints
    assert second.state.epoch == first.state.epoch
    assert second.objectives == {"high": 1}
    assert second.columns.capacity == first.columns.capacity
    told.clear()
    first.apply(Discovered((B, C)))
    second.adopt(decode(encode(first.membership)))
    assert told == [("left", "a"), ("joined", "c")]
    assert second.membership == first.membership


def test_a_slot_is_reused_when_all_have_seen_it_go_and_nobody_holds_it(
    memory: SharedMemory,
) -> None:
    memory.seen[:] = 0
    store = Datastore(columns=SharedColumns(memory, 8))
    late = InFlight(lambda: SharedColumns(memory, 8, 1))
    store.sync([A, B])
    gone = store.state.endpoints[0]
    store.sync([B])  # epoch 2; worker 1 has not seen it yet and picks once more
    credit = late.take(gone, 10, 5)

    def slot_of_next(name: str) -> int:
        store.sync([B, EndpointSpec(name, f"10.0.1.{len(name)}", 8000)])
        return next(e.slot for e in store.state.endpoints if e.name == name)

    memory.seen[0] = 2
    late.give_back(credit)
    assert slot_of_next("x") == 2  # worker 1 may pick yet again
    memory.seen[1] = 2
    held = late.take(gone, 10, 5)
    assert slot_of_next("xx") == 3  # somebody holds it
    late.give_back(held)
    assert slot_of_next("xxx") == 0


def test_a_worker_that_is_gone_keeps_no_slot(memory: SharedMemory) -> None:
    store = Datastore(columns=SharedColumns(memory, 8))
    memory.seen[:] = 0
    store.sync([A])
    InFlight(lambda: SharedColumns(memory, 8, 0)).take(store.state.endpoints[0], 1, 1)
    store.sync([])
    for worker in range(2):
        memory.bury(worker)
    store.sync([B])
    assert store.state.endpoints[0].slot == 0
    assert memory.seen.tolist() == [GONE, GONE]


def test_a_slot_that_is_reused_comes_clean(memory: SharedMemory) -> None:
    store = Datastore(columns=SharedColumns(memory, 8))
    store.sync([A])
    store.observed(store.state.endpoints[0], EndpointLoad(waiting=2.0, lora=LoraState()), 1.0)
    store.sync([])
    store.sync([B])
    columns: Columns = SharedColumns(memory, 8, 0)
    assert np.isnan(columns.waiting[0])
    assert (columns.observed_at[0], columns.lora[0]) == (-np.inf, NO_LORA)


def test_more_endpoints_than_there_is_room_for_are_refused(memory: SharedMemory) -> None:
    with pytest.raises(ValueError, match="257 endpoints, but shared memory is for 256"):
        SharedColumns(memory, 257)
