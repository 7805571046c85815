"""Golden transcripts: what Envoy tells, word for word, and what we answer.

After a deliberate change: ``UPDATE_GOLDEN=1 pytest tests/gateway/extproc/test_transcripts.py``,
then read the diff.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.gateway.extproc.transcript import play

FOLDER = Path(__file__).parents[2] / "golden" / "extproc"
TRANSCRIPTS = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in TRANSCRIPTS])
def test_the_conversation_is_the_one_written_down(path: Path) -> None:
    written_down = json.loads(path.read_text())
    played = play(written_down)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(played, indent=2, ensure_ascii=True) + "\n")
    else:
        assert played == written_down


def test_there_are_transcripts() -> None:
    """A glob that matches nothing would pass everything above."""
    assert len(TRANSCRIPTS) > 40
