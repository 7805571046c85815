"""The user's cache folder for what is expensive to build, and the lock that lets one build it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """``$XDG_CACHE_HOME/loadstar``, else ``~/.cache/loadstar``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loadstar"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``, between processes; released when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
