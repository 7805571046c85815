"""What came in for one model, minute by minute, for two weeks: bounded, gaps explicit.

Rates of requests and tokens are kept, not work: a new capacity profile makes new work of the same
history. A minute nobody saw is NaN and stays NaN. Pure; the controller writes, forecasts read.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

MINUTE_S: Final = 60.0
KEPT_MINUTES: Final = 15 * 24 * 60
_COLUMNS: Final = 3  # requests, uncached input tokens, output tokens; each a second
_VERSION: Final = 1

Series = NDArray[np.float64]


class History:
    """Minute means of (requests, uncached input tokens, output tokens) per second."""

    def __init__(self, kept_minutes: int = KEPT_MINUTES) -> None:
        self.kept = kept_minutes
        self._rows: Series = np.full((2 * kept_minutes, _COLUMNS), np.nan)
        self._used = 0
        self._first = 0  # minute number of row 0
        self._sum: Series = np.zeros(_COLUMNS)
        self._weight = 0.0
        self._minute: int | None = None

    def __len__(self) -> int:
        return self._used

    @property
    def first_minute(self) -> int:
        """Unix minute of the oldest row."""
        return self._first

    @property
    def closed(self) -> int:
        """Unix minute after the newest whole one."""
        return self._first + self._used

    @property
    def rows(self) -> Series:
        """The closed minutes, oldest first. A view: read it, do not keep it."""
        return self._rows[: self._used]

    def add(
        self, now_s: float, requests: float | None, input_tokens: float, output_tokens: float
    ) -> int:
        """Count rates seen at ``now_s``; None for a gap. Returns how many minutes have closed."""
        # What is said at 12:00:00 is of the seconds before it, so it belongs to 11:59.
        minute = math.ceil(now_s / MINUTE_S) - 1
        closed = 0
        if self._minute is None:
            self._minute = minute
            if not self._used:
                self._first = minute
            else:
                closed += self._skip(minute)
        elif minute > self._minute:
            closed += self._close() + self._skip(minute)
            self._minute = minute
        elif minute < self._minute:
            return 0  # the clock went back: what is closed stays closed
        if requests is not None:
            self._sum += (requests, requests * input_tokens, requests * output_tokens)
            self._weight += 1.0
        if now_s >= (minute + 1) * MINUTE_S:  # the last word on this minute
            closed += self._close()
            self._minute = minute + 1
        return closed

    def _close(self) -> int:
        mean = self._sum / self._weight if self._weight else np.full(_COLUMNS, np.nan)
        self._append(mean)
        self._sum = np.zeros(_COLUMNS)
        self._weight = 0.0
        return 1

    def _skip(self, minute: int) -> int:
        """Mark the minutes up to ``minute`` that nobody saw."""
        missing = minute - self.closed
        if missing > self.kept:
            self._used, self._first = 0, minute
            return 0
        for _ in range(max(0, missing)):
            self._append(np.full(_COLUMNS, np.nan))
        return max(0, missing)

    def _append(self, row: Series) -> None:
        if self._used == len(self._rows):
            keep = self.kept
            self._rows[:keep] = self._rows[self._used - keep : self._used].copy()
            self._first += self._used - keep
            self._used = keep
        self._rows[self._used] = row
        self._used += 1

    def missing(self, first: int, minutes: int) -> NDArray[np.bool_]:
        """Which of the ``minutes`` from the Unix minute ``first`` on nobody saw."""
        absent = np.ones(minutes, dtype=np.bool_)
        low, high = max(first, self._first), min(first + minutes, self.closed)
        if low < high:
            known = self.rows[low - self._first : high - self._first, 0]
            absent[low - first : high - first] = np.isnan(known)
        return absent

    def filled(self, first: int, rows: Series) -> History:
        """The same with ``rows`` from the minute ``first`` on, where it has none of its own."""
        (known,) = np.nonzero(~np.isnan(rows[:, 0]))
        if not len(known):
            return self
        first, rows = first + int(known[0]), rows[known[0] : known[-1] + 1]
        begin, end = first, first + len(rows)
        if self._used or self._minute is not None:
            begin, end = min(begin, self._first), max(end, self.closed)
        begin = max(begin, end - self.kept)
        table = np.full((end - begin, _COLUMNS), np.nan)
        for start, part in ((first, rows), (self._first, self.rows)):
            skipped = max(0, begin - start)
            part = part[skipped:]
            place = table[start + skipped - begin :][: len(part)]
            seen = ~np.isnan(part).any(axis=1)
            place[seen] = part[seen]
        made = History(self.kept)
        made._rows[: len(table)] = table
        made._used, made._first = len(table), begin
        made._sum, made._weight, made._minute = self._sum.copy(), self._weight, self._minute
        return made

    def to_document(self) -> dict[str, object]:
        """Plain values that ``of_document`` reads; about 7 kB a day once compressed."""
        kept = self.rows[-self.kept :]
        packed = np.ascontiguousarray(kept, dtype="<f4")
        return {
            "version": _VERSION,
            "firstMinute": self.closed - len(kept),
            "minutes": len(kept),
            "rows": base64.b64encode(packed.tobytes()).decode("ascii"),
        }

    @classmethod
    def of_document(
        cls, document: Mapping[str, object], kept_minutes: int = KEPT_MINUTES
    ) -> History:
        """The history that ``to_document`` wrote. ValueError where it did not."""
        first, minutes = document.get("firstMinute"), document.get("minutes")
        rows = document.get("rows")
        if document.get("version") != _VERSION:
            raise ValueError(f"history of version {document.get('version')!r}, not {_VERSION}")
        if not (isinstance(first, int) and isinstance(minutes, int) and isinstance(rows, str)):
            raise ValueError("history lacks firstMinute, minutes or rows")
        try:
            values = np.frombuffer(base64.b64decode(rows, validate=True), dtype="<f4")
        except ValueError:
            raise ValueError("history rows are not base64 of whole numbers of minutes") from None
        if len(values) != minutes * _COLUMNS:
            raise ValueError(f"history holds {len(values) // _COLUMNS} minutes, not {minutes}")
        table = values.astype(np.float64).reshape(-1, _COLUMNS)[-kept_minutes:]
        table[(table < 0) | np.isinf(table)] = np.nan
        made = cls(kept_minutes)
        made._rows[: len(table)] = table
        made._used = len(table)
        made._first = first + minutes - len(table)
        return made
