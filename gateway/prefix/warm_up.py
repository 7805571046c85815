"""Load the compiled kernels of this package before the first request. Called at start-up."""

from __future__ import annotations

import numpy as np

from gateway.prefix.blocks import block_hashes, prefix_seed
from gateway.prefix.index import PrefixIndex


def warm_up() -> None:
    """Run each kernel once; seconds when they must be compiled, milliseconds from the cache."""
    index = PrefixIndex(slots=1, capacity=1)
    hashes = block_hashes((b"warm", b"up"), prefix_seed("model"), block_bytes=4, max_blocks=2)
    index.record(0, hashes)
    index.match(hashes, np.zeros(1, np.int64))
