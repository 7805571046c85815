"""The block kernel is xxHash64, chained, whatever the pieces and the block size."""

from __future__ import annotations

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from gateway.prefix.blocks import block_hashes


@given(
    st.lists(st.binary(max_size=150), max_size=5),
    st.integers(0, 2**64 - 1),
    st.integers(1, 200),
    st.integers(0, 40),
)
def test_blocks_are_hashed_as_the_library_hashes_them(
    pieces: list[bytes], seed: int, block_bytes: int, max_blocks: int
) -> None:
    text = b"".join(pieces)
    expected: list[int] = []
    for at in range(0, len(text), block_bytes)[:max_blocks]:
        seed_here = expected[-1] if expected else seed
        expected.append(xxhash.xxh64_intdigest(text[at : at + block_bytes], seed_here))
    assert block_hashes(pieces, seed, block_bytes, max_blocks).tolist() == expected


@given(st.binary(max_size=300), st.binary(max_size=100), st.integers(1, 64))
def test_a_prompt_that_goes_on_keeps_its_full_blocks(
    start: bytes, more: bytes, block_bytes: int
) -> None:
    full = len(start) // block_bytes
    shorter = block_hashes((start,), 1, block_bytes, 1000)
    longer = block_hashes((start, more), 1, block_bytes, 1000)
    assert shorter[:full] == longer[:full]
