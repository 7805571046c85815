"""Holding a body: every byte, once, in the memory of its bytes."""

from __future__ import annotations

import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extproc.session.held_body import HeldBody


@given(st.lists(st.binary(max_size=5)))
def test_what_went_in_comes_out(pieces: list[bytes]) -> None:
    held = HeldBody()
    for piece in pieces:
        held.add(piece)
    assert held.size == len(b"".join(pieces))
    assert held.take() == b"".join(pieces)
    assert (held.size, held.take()) == (0, b"")


def test_a_body_in_one_piece_is_not_copied() -> None:
    held, body = HeldBody(), b"x" * 1000
    held.add(b"")
    held.add(body)
    assert held.take() is body


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts CPython's allocations")
def test_many_small_pieces_take_little_more_than_their_bytes() -> None:
    pieces = [bytes([i % 251, i % 241]) for i in range(50_000)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        held = HeldBody()
        for piece in pieces:
            held.add(piece)
            held.add(b"")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * held.size
