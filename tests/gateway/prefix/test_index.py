"""What the prefix index remembers of each endpoint, and what it forgets first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from gateway.prefix.blocks import block_hashes
from gateway.prefix.index import PrefixIndex

SLOTS = np.arange(3, dtype=np.int64)


def prompt(text: str) -> Sequence[int]:
    """One block per letter."""
    return block_hashes((text.encode(),), 0, 1, 100)


def matched(index: PrefixIndex, text: str) -> list[int]:
    return [int(count) for count in index.match(prompt(text), SLOTS)]


def index_of(capacity: int = 10, **sent: str) -> PrefixIndex:
    """An index of three slots; ``s0="abc"`` has sent abc to slot 0."""
    index = PrefixIndex(slots=3, capacity=capacity)
    for slot, text in sent.items():
        index.record(int(slot[1:]), prompt(text))
    return index


def test_an_empty_index_matches_nothing() -> None:
    assert matched(index_of(), "abc") == [0, 0, 0]


def test_the_leading_blocks_that_an_endpoint_holds_are_counted() -> None:
    index = index_of(s0="abcdef", s1="abX", s2="Xbc")
    assert matched(index, "abcd") == [4, 2, 0]
    assert matched(index, "abcdefgh") == [6, 2, 0]
    assert matched(index, "") == [0, 0, 0]


def test_slots_not_asked_about_are_zero() -> None:
    index = index_of(s0="ab", s1="ab", s2="ab")
    assert index.match(prompt("ab"), np.array([2, 0])).tolist() == [2, 0, 2]
    assert index.match(prompt("ab"), np.array([], np.int64)).tolist() == [0, 0, 0]


def test_a_slot_that_is_no_row_of_the_index_is_passed_over() -> None:
    index = index_of(s1="ab")
    assert index.match(prompt("ab"), np.array([1, 7, -1])).tolist() == [0, 2, 0]
    with pytest.raises(IndexError):
        index.record(3, prompt("ab"))


def test_the_oldest_prompt_goes_first_and_its_end_before_its_beginning() -> None:
    index = index_of(capacity=6, s0="abcd")
    index.record(0, prompt("wxyz"))
    assert (matched(index, "abcd")[0], matched(index, "wxyz")[0]) == (2, 4)
    assert index.size(0) == 6


def test_sending_a_prompt_again_keeps_it_young() -> None:
    index = index_of(capacity=6, s0="abc")
    index.record(0, prompt("xyz"))
    index.record(0, prompt("abc"))
    index.record(0, prompt("12"))
    assert [matched(index, text)[0] for text in ("abc", "xyz", "12")] == [3, 1, 2]


def test_asking_keeps_nothing_young() -> None:
    index = index_of(capacity=4, s0="ab")
    index.record(0, prompt("cd"))
    matched(index, "ab")
    index.record(0, prompt("ef"))
    assert [matched(index, text)[0] for text in ("ab", "cd", "ef")] == [0, 2, 2]


def test_of_a_prompt_beyond_capacity_the_beginning_is_kept() -> None:
    index = index_of(capacity=3, s0="abcdef")
    assert (matched(index, "abcdef")[0], index.size(0)) == (3, 3)


def test_an_endpoint_may_hold_less_than_the_capacity() -> None:
    index = index_of(s0="abcdef")
    index.record(0, prompt("x"), limit=3)
    assert (matched(index, "x")[0], matched(index, "abcdef")[0], index.size(0)) == (1, 2, 3)
    index.record(0, prompt("x"), limit=0)
    assert index.size(0) == 0
    index.record(0, prompt("abcdef"), limit=1_000)
    assert index.size(0) == 6


def test_an_endpoint_that_left_is_forgotten_and_the_others_are_not() -> None:
    index = index_of(s0="abc", s1="abc")
    index.drop(0)
    index.drop(2)
    assert matched(index, "abc") == [0, 3, 0]
    assert (index.size(0), len(index)) == (0, 3)
    index.record(0, prompt("ab"))
    assert matched(index, "abc") == [2, 3, 0]


def test_memory_is_fixed_however_much_is_recorded() -> None:
    index = PrefixIndex(slots=2, capacity=50)
    for n in range(500):
        index.record(n % 2, block_hashes((b"%d" % n * 40,), 0, 4, 30))
    assert (index.size(0), index.size(1), len(index)) == (50, 50, 100)


@pytest.mark.parametrize(("slots", "capacity"), [(0, 1), (1, 0)])
def test_an_index_needs_room(slots: int, capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PrefixIndex(slots, capacity)


def test_a_row_that_widens_forgets_nothing() -> None:
    """A row begins with part of its table; every block must be found again after each doubling."""
    index = PrefixIndex(slots=1, capacity=5_000)
    blocks = np.random.default_rng(1).integers(0, 2**63, 5_000).astype(np.uint64)
    for first in range(0, 5_000, 100):
        index.record(0, blocks[first : first + 100])
        for start in range(0, first + 100, 700):
            held = index.match(blocks[start : start + 1].tolist(), np.array([0]))
            assert held.tolist() == [1], (first, start)
    assert index.size(0) == 5_000


def test_an_index_answers_for_its_own_slots_only() -> None:
    index = PrefixIndex(slots=2, capacity=10)
    index.record(1, prompt("ab"))
    matched = np.zeros(8, np.int64)
    index.match_into(matched, prompt("ab"), np.array([0, 4, 5, 7]), 4)
    assert matched.tolist() == [0, 0, 0, 0, 0, 2, 0, 0]
