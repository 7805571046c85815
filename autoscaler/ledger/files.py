"""A ledger on disk: segments of JSON lines in one folder, the oldest removed beyond a bound.

Each segment begins with a ``Start`` for every model, so that any one of them can be replayed
alone. Blocking; the live loop calls it in a thread. Survives a torn last line.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from autoscaler.ledger.entries import Entry, OtherVersion, line, parse

SEGMENT_BYTES = 32 << 20
MOST_BYTES = 256 << 20
"""About a month of one model, a week of four."""
_NAME = re.compile(r"ledger-(\d{10})-(\d{3})\.jsonl$")

log = logging.getLogger(__name__)


class LedgerFiles:
    """Writes; one writer a folder."""

    def __init__(
        self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, most_bytes: int = MOST_BYTES
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._most_bytes = most_bytes
        self._file: BinaryIO | None = None
        self._written = 0

    def __enter__(self) -> LedgerFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def is_full(self) -> bool:
        """Whether the next entries belong into a new segment."""
        return self._file is None or self._written >= self._segment_bytes

    def begin(self, at_s: float, starts: Iterable[Entry]) -> Path:
        """Open a new segment that begins with ``starts``."""
        if self._file is not None:
            self._file.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._fresh(int(at_s))
        self._file = path.open("xb")
        self._written = 0
        self.append(starts)
        self._prune(path)
        return path

    def append(self, entries: Iterable[Entry]) -> None:
        """Write ``entries`` and hand them to the system."""
        if self._file is None:
            raise ValueError("no segment has been begun")
        text = b"".join(line(entry) for entry in entries)
        self._file.write(text)
        self._file.flush()
        self._written += len(text)

    def _fresh(self, at_s: int) -> Path:
        for number in range(1000):
            path = self._folder / f"ledger-{at_s:010d}-{number:03d}.jsonl"
            if not path.exists():
                return path
        raise OSError(f"{self._folder}: a thousand segments in one second")

    def _prune(self, current: Path) -> None:
        found = segments(self._folder)
        total = sum(path.stat().st_size for path in found)
        for path in found:
            if total <= self._most_bytes or path == current:
                return
            total -= path.stat().st_size
            path.unlink()
            log.info("ledger segment removed", extra={"segment": path.name})


def segments(place: Path) -> list[Path]:
    """The segments at ``place``, a folder or one file, oldest first."""
    if place.is_file():
        return [place]
    return sorted(path for path in place.glob("ledger-*.jsonl") if _NAME.search(path.name))


def read(place: Path, left_out: Callable[[str], None] | None = None) -> Iterator[Entry]:
    """Every entry, in order. A last line that was cut off is left out; any other raises ValueError.

    In a folder a segment of another release is left out and told to ``left_out``: what this one has
    written since is worth reading. A single file is read or it is not.
    """
    for path in segments(place):
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.endswith(b"\n"):
                    break
                try:
                    yield parse(text)
                except OtherVersion as error:
                    said = f"{path.name} line {number}: {error}"
                    if left_out is None or path == place:
                        raise ValueError(said) from error
                    left_out(said)
                    break
                except ValueError as error:
                    raise ValueError(f"{path.name} line {number}: {error}") from error
