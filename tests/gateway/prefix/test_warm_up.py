"""After warm-up, no request waits for a compiler."""

from __future__ import annotations

from array import array
from types import ModuleType

import numpy as np
import pytest

from gateway.prefix import blocks, index
from gateway.prefix.warm_up import warm_up


@pytest.mark.parametrize(
    ("module", "kernel"), [(blocks, "_chain"), (index, "_match"), (index, "_record")]
)
def test_what_requests_bring_is_compiled_already(module: ModuleType, kernel: str) -> None:
    warm_up()
    compiled = list(getattr(module, kernel).signatures)
    hashes = blocks.block_hashes((b"x" * 1000,), blocks.prefix_seed("m", "s"), 256, 2048)
    used = index.PrefixIndex(slots=64)
    used.record(3, hashes, limit=100)
    used.record(3, [1, 2, 3])
    used.record(3, array("Q", [1, 2, 3]))
    used.match(hashes, np.array([1, 3], np.int64))
    assert list(getattr(module, kernel).signatures) == compiled
