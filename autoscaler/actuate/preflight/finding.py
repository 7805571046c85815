"""One thing that was looked at, and what to do where it is not as it must be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ASKER = '"$(gcloud config get account)"'
"""Who asks, in a command: the account that gcloud itself works with."""


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"  # works, and an operator should know
    SHORT = "short"  # does not work as the policy has it
    UNKNOWN = "unknown"  # could not be looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """``mend`` is a command, or a sentence where there is none."""

    level: Level
    subject: str
    text: str
    mend: str = ""

    def lines(self) -> list[str]:
        head = f"{self.level.value:<8}{self.subject}: {self.text}"
        return [head, f"        {self.mend}"] if self.mend else [head]
