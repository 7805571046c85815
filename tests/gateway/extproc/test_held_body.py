"""Holding a body: every byte, once, in the memory of its bytes."""

from __future__ import annotations

import contextlib
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import NoRoom
from gateway.extproc.session.held_body import HeldBody
from gateway.extproc.session.room import SMALL_BYTES, Room


@given(st.lists(st.binary(max_size=5)))
def test_what_went_in_comes_out(pieces: list[bytes]) -> None:
    held = HeldBody(Room(1 << 20))
    for piece in pieces:
        held.add(piece)
    assert held.size == len(b"".join(pieces))
    assert held.take() == b"".join(pieces)
    assert (held.size, held.take()) == (0, b"")


def test_a_body_in_one_piece_is_not_copied() -> None:
    held, body = HeldBody(Room(1 << 20)), b"x" * 1000
    held.add(b"")
    held.add(body)
    assert held.take() is body


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts CPython's allocations")
def test_many_small_pieces_take_little_more_than_their_bytes() -> None:
    pieces = [bytes([i % 251, i % 241]) for i in range(50_000)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        held = HeldBody(Room(1 << 20))
        for piece in pieces:
            held.add(piece)
            held.add(b"")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * held.size


def test_long_bodies_share_one_room_and_small_ones_are_always_held() -> None:
    room = Room(100)
    first, second, small = (HeldBody(room) for _ in range(3))
    first.add(bytes(SMALL_BYTES))
    first.add(bytes(60))
    second.add(bytes(SMALL_BYTES + 40))
    assert room.held_bytes == 100
    with pytest.raises(NoRoom):
        second.add(b"x")
    small.add(bytes(SMALL_BYTES))
    second.drop()
    first.add(bytes(40))
    assert len(first.take()) == SMALL_BYTES + 100
    assert room.held_bytes == 0


@given(st.lists(st.integers(0, SMALL_BYTES), max_size=8), st.booleans())
def test_whatever_was_taken_is_given_back(sizes: list[int], taken: bool) -> None:
    room = Room(2 * SMALL_BYTES)
    held = HeldBody(room)
    with contextlib.suppress(NoRoom):
        for size in sizes:
            held.add(bytes(size))
    assert room.held_bytes == max(0, held.size - SMALL_BYTES)
    if taken:
        held.take()
    held.drop()
    assert room.held_bytes == 0
