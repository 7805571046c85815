"""A profile as a policy has it, and what is wrong with a line of ``loadstar profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson

from autoscaler.policy.profile import ProfilePolicy
from loadstar.config import units

MOST_BYTES: Final = 64 << 20


class Wrong(Exception):
    """The line or a file is to be mended; the message is for people."""


def written(profile: ProfilePolicy) -> dict[str, object]:
    """As a policy has it."""
    return {
        "decodeBase": _duration(profile.decode_base_s),
        "decodePerSequence": _duration(profile.decode_per_sequence_s),
        "prefillPerToken": _duration(profile.prefill_per_token_s),
        "prefillBase": _duration(profile.prefill_base_s),
        "concurrency": profile.concurrency,
    }


def _duration(seconds: float) -> str:
    """To the nanosecond, in the unit that people would take."""
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.6f}".rstrip("0").rstrip(".") + "ms"
    return f"{seconds * 1e6:.3f}".rstrip("0").rstrip(".") + "us"


def seconds_of(flag: str, text: str) -> float:
    """The duration that ``flag`` was given. Raises Wrong."""
    try:
        seconds = units.duration(text)
    except ValueError as error:
        raise Wrong(f"{flag}: {error}") from None
    if seconds <= 0:
        raise Wrong(f"{flag}: must be more than 0")
    return seconds


def json_of(path: Path) -> object:
    """The document in a JSON file. Raises Wrong."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Wrong(
                f"{path}: more than {MOST_BYTES >> 20} MiB; results without each request do"
            )
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise Wrong(f"{path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise Wrong(f"{path}: not JSON: {error}") from error
