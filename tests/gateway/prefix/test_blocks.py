"""Prompts as chains of block hashes."""

from __future__ import annotations

import pytest
import xxhash

from gateway.prefix.blocks import block_hashes, prefix_seed

SEED = prefix_seed("model")


def test_a_block_is_hashed_with_the_hash_of_the_one_before() -> None:
    first = xxhash.xxh64_intdigest(b"abcd", SEED)
    second = xxhash.xxh64_intdigest(b"ef", first)
    assert block_hashes((b"abcdef",), SEED, 4, 10).tolist() == [first, second]


def test_pieces_are_laid_end_to_end() -> None:
    whole = block_hashes((b"abcdefghij",), SEED, 4, 10)
    assert block_hashes((b"abc", b"", b"defg", b"hij"), SEED, 4, 10) == whole


def test_a_longer_prompt_shares_the_full_blocks_and_not_the_partial_one() -> None:
    short = block_hashes((b"x" * 10,), SEED, 4, 10)
    long = block_hashes((b"x" * 14,), SEED, 4, 10)
    assert short[:2] == long[:2]
    assert short[2] != long[2]


def test_a_change_in_a_block_changes_all_that_follow() -> None:
    a = block_hashes((b"aaaabbbbcccc",), SEED, 4, 10)
    b = block_hashes((b"aaaaBbbbcccc",), SEED, 4, 10)
    assert [x == y for x, y in zip(a, b, strict=True)] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "limit", "blocks"),
    [
        pytest.param(b"", 10, 0, id="no prompt"),
        pytest.param(b"x", 10, 1, id="less than a block"),
        pytest.param(b"x" * 8, 10, 2, id="full blocks"),
        pytest.param(b"x" * 9, 10, 3, id="and a part"),
        pytest.param(b"x" * 1000, 10, 10, id="at most so many"),
        pytest.param(b"x" * 1000, 0, 0, id="none wanted"),
    ],
)
def test_how_many_blocks_a_prompt_has(text: bytes, limit: int, blocks: int) -> None:
    assert len(block_hashes((text,), SEED, 4, limit)) == blocks
    assert len(block_hashes((text[:3], text[3:]), SEED, 4, limit)) == blocks


def test_a_block_of_no_bytes_is_an_error() -> None:
    with pytest.raises(ValueError, match="block_bytes is 0"):
        block_hashes((b"x",), SEED, 0, 10)


def test_models_and_salts_share_nothing() -> None:
    seeds = [
        prefix_seed("a"),
        prefix_seed("b"),
        prefix_seed("a", "s"),
        prefix_seed("a", "t"),
        prefix_seed("as"),
        prefix_seed("a\udcff"),
    ]
    assert len(set(seeds)) == len(seeds)
