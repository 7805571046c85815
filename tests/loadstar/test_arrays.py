"""Kernels: compiled wherever the process runs."""

from __future__ import annotations

from typing import Any

from loadstar.arrays import kernel, not_kept

SOURCE = "def twice(x):\n    return 2 * x\n"


def test_a_kernel_that_can_be_kept_nowhere_is_compiled_all_the_same() -> None:
    """Numba finds no directory for a source that is not a file, as for one it may not write by."""
    namespace: dict[str, Any] = {}
    exec(compile(SOURCE, "/proc/no/such/kernels.py", "exec"), namespace)
    assert kernel(namespace["twice"])(21) == 42
    assert "twice" in not_kept
