"""Array types and the kernel decorator: the numeric vocabulary of columns and scores."""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

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


def zeros_in_small_pages(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """Zeros of which the system gives 4 KB at a time, as they are touched.

    numpy asks for huge pages, and one touch then zeroes 2 MB: right for arrays that are used whole,
    a hundred microseconds and most of the memory wasted for rows that may never be.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    memory = mmap.mmap(-1, max(size, 1), flags=kind)
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or a kernel without them
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)
