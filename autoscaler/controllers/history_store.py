"""Histories and lead times on disk, so that a restart forgets nothing. Blocking; call in a thread.

One small file a model, replaced whole: a reader sees the old one or the new. A file that cannot be
read is set aside and told about, and the controller begins without it.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path

import orjson

from autoscaler.observe.history import History
from autoscaler.observe.lead_times import LeadTimes

log = logging.getLogger(__name__)

LEAD_TIMES = "lead-times.json.gz"
MOST_BYTES = 64 << 20


class HistoryStore:
    """What is kept in ``folder``; with None, nothing is."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def history(self, model: str) -> History:
        """The history of ``model``, or an empty one."""
        document = self._read(_name(model))
        if document is None:
            return History()
        try:
            return History.of_document(document)
        except ValueError as error:
            self._set_aside(_name(model), error)
            return History()

    def lead_times(self) -> LeadTimes:
        """The lead times, or none."""
        document = self._read(LEAD_TIMES)
        if document is None:
            return LeadTimes()
        try:
            return LeadTimes.of_document(document)
        except ValueError as error:
            self._set_aside(LEAD_TIMES, error)
            return LeadTimes()

    def keep(self, documents: Mapping[str, Mapping[str, object]], lead_times: LeadTimes) -> None:
        """Write the histories of models (as documents) and the lead times."""
        for model, document in documents.items():
            self._write(_name(model), document)
        self._write(LEAD_TIMES, lead_times.to_document())

    def _read(self, name: str) -> dict[str, object] | None:
        if self._folder is None:
            return None
        try:
            with gzip.open(self._folder / name, "rb") as file:
                found = orjson.loads(file.read(MOST_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, EOFError, zlib.error, orjson.JSONDecodeError) as error:
            self._set_aside(name, error)
            return None
        return found if isinstance(found, dict) else None

    def _write(self, name: str, document: Mapping[str, object]) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._folder / f"{name}.new"
        new.write_bytes(gzip.compress(orjson.dumps(dict(document)), mtime=0))
        new.replace(self._folder / name)

    def _set_aside(self, name: str, error: Exception) -> None:
        assert self._folder is not None
        path = self._folder / name
        log.error("%s cannot be read and is set aside: %s", path, error)
        if path.exists():
            path.replace(self._folder / f"{name}.unread")


def _name(model: str) -> str:
    """A file name that no model's name can break out of, and no two share."""
    kept = "".join(c if c.isalnum() or c in "-_." else "_" for c in model)[:80]
    return f"history-{kept}-{hashlib.sha256(model.encode()).hexdigest()[:8]}.json.gz"
