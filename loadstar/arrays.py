"""Array types and the kernel decorator: the numeric vocabulary of columns and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeAlias, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Bytes: TypeAlias = NDArray[np.uint8]

P = ParamSpec("P")
R = TypeVar("R")


not_kept: set[str] = set()
"""Names of kernels that are compiled anew at every start. ``main`` tells the operator."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` to machine code on first call, cached on disk, without the GIL.

    Where no directory can be written, not beside the source, nor under the home directory or
    NUMBA_CACHE_DIR (a container with a read-only root), it is compiled without being kept.
    """
    try:
        compiled = njit(cache=True, nogil=True)(function)
    except RuntimeError:
        not_kept.add(function.__qualname__)
        compiled = njit(nogil=True)(function)
    return cast("Callable[P, R]", compiled)
