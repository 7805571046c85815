"""Prompt bytes to chained block hashes: the words the prefix index speaks.

Block i's hash is xxHash64 of its bytes seeded with the hash of block i-1, so one hash stands for
everything up to the end of its block. The first is seeded with what must not be shared across:
the model and the cache salt. Called by the prefix producer; ``index`` knows only the hashes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from loadstar.arrays import Bytes, kernel

# The constants of xxHash64 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)


def prefix_seed(model: str, cache_salt: str = "") -> int:
    """The seed of a prompt's first block: prompts for other models or salts share no hash."""
    seed = xxhash.xxh64_intdigest(model.encode("utf-8", "surrogatepass"))
    if cache_salt:
        seed = xxhash.xxh64_intdigest(cache_salt.encode("utf-8", "surrogatepass"), seed)
    return int(seed)


def block_hashes(
    pieces: Sequence[bytes], seed: int, block_bytes: int, max_blocks: int
) -> array[int]:
    """The chained hashes of the blocks of ``pieces`` laid end to end, at most ``max_blocks``.

    A last block that is not full is hashed too: the same prompt again matches whole, while a
    longer one, whose block at that place has more bytes, matches up to the last full block.
    Raises ValueError if ``block_bytes`` is not positive.
    """
    if block_bytes <= 0:
        raise ValueError(f"block_bytes is {block_bytes}; a block has at least one byte")
    text = _first_bytes(pieces, block_bytes * max(0, max_blocks))
    hashes = array("Q", bytes(8 * -(-len(text) // block_bytes)))
    if hashes:
        _chain(
            np.frombuffer(text, np.uint8),
            block_bytes,
            np.uint64(seed),
            np.frombuffer(hashes, np.uint64),
        )
    return hashes


def _first_bytes(pieces: Sequence[bytes], limit: int) -> bytes:
    if len(pieces) == 1 and len(pieces[0]) <= limit:
        return pieces[0]
    taken: list[bytes] = []
    for piece in pieces:
        if limit <= 0:
            break
        taken.append(piece[:limit])
        limit -= len(taken[-1])
    return b"".join(taken)


@kernel
def _chain(text: Bytes, block_bytes: int, seed: np.uint64, hashes: NDArray[np.uint64]) -> None:
    for block in range(hashes.size):
        begin = block * block_bytes
        seed = _xxh64(text, begin, min(begin + block_bytes, text.size), seed)
        hashes[block] = seed


@kernel
def _xxh64(text: Bytes, begin: int, end: int, seed: np.uint64) -> np.uint64:
    i = begin
    if end - begin >= 32:
        a, b, c, d = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
        while i + 32 <= end:
            a = _round(a, _word(text, i))
            b = _round(b, _word(text, i + 8))
            c = _round(c, _word(text, i + 16))
            d = _round(d, _word(text, i + 24))
            i += 32
        h = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
        h = _merge(_merge(_merge(_merge(h, a), b), c), d)
    else:
        h = seed + _P5
    h += np.uint64(end - begin)
    while i + 8 <= end:
        h = _rotate(h ^ _round(np.uint64(0), _word(text, i)), 27) * _P1 + _P4
        i += 8
    if i + 4 <= end:
        h = _rotate(h ^ (_half_word(text, i) * _P1), 23) * _P2 + _P3
        i += 4
    while i < end:
        h = _rotate(h ^ (np.uint64(text[i]) * _P5), 11) * _P1
        i += 1
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return h ^ (h >> np.uint64(32))


@kernel
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotate(lane + word * _P2, 31) * _P1


@kernel
def _merge(h: np.uint64, lane: np.uint64) -> np.uint64:
    return (h ^ _round(np.uint64(0), lane)) * _P1 + _P4


@kernel
def _rotate(x: np.uint64, bits: int) -> np.uint64:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@kernel
def _half_word(text: Bytes, i: int) -> np.uint64:
    word = np.uint64(0)
    for k in range(4):
        word |= np.uint64(text[i + k]) << np.uint64(8 * k)
    return word


@kernel
def _word(text: Bytes, i: int) -> np.uint64:
    """Eight bytes, little-endian; the compiler makes one load of it."""
    return _half_word(text, i) | (_half_word(text, i + 4) << np.uint64(32))
