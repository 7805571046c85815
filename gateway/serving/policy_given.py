"""A configuration as it was given: its text, where it came from, and what was wrong with it.

Values only. ``policy_in_force`` takes them or refuses them, ``pages`` shows them; ``encode`` and
``decode`` carry one between the processes of a gateway.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.config.flags import Flags
from loadstar.config.errors import ConfigError, Problem
from loadstar.files import contents

BUILT_IN = "built-in default"
ON_THE_COMMAND_LINE = "--config-text"
DISCOVERY = b"discovery"
"""What a text mentions that brings its own endpoints: dataLayer.discovery, file-discovery."""
HASH_DIGITS = 16
"""Of a SHA-256: enough to tell two texts apart at a glance."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a text stands and which version of it this is."""

    source: str
    resource_version: str = ""
    """The API server's, for what comes from there."""

    def __str__(self) -> str:
        version = f" (version {self.resource_version})" if self.resource_version else ""
        return f"{self.source}{version}"


@dataclass(frozen=True, slots=True)
class Given:
    """One text from one place. Empty is the built-in default."""

    text: bytes
    origin: Origin

    @property
    def sha256(self) -> str:
        """Tells texts apart, and is the same wherever the same text is in force."""
        return hashlib.sha256(self.text).hexdigest()[:HASH_DIGITS]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A text that was not taken, or a place that gave none."""

    at: float
    """Unix seconds."""
    origin: Origin
    problems: tuple[Problem, ...]


def fallback_of(flags: Flags, text: bytes = b"") -> Given | None:
    """What to serve with while a ConfigMap, saying ``text``, cannot be used; None is nothing.

    Those defaults know no endpoints: they are of use where a flag says which pods those are, and
    the text, as far as it can be understood, does not say otherwise.
    """
    pods = flags.pool_name or flags.endpoint_selector
    if flags.config_map and pods and DISCOVERY not in text:
        return Given(b"", Origin(BUILT_IN))
    return None


def given_by(flags: Flags) -> Given:
    """What the command line or the file it names says. Raises ConfigError."""
    if flags.config_file:
        return read_file(Path(flags.config_file))
    source = ON_THE_COMMAND_LINE if flags.config_text else BUILT_IN
    # What came with the command line is bytes that need not be UTF-8: whoever reads it says so.
    return Given(flags.config_text.encode(errors="surrogateescape"), Origin(source))


def read_file(path: Path) -> Given:
    """What a file says now. Raises ConfigError."""
    try:
        return given_at(Origin(str(path)), contents(path))
    except OSError as error:
        raise ConfigError.of("", f"{path}: {error.strerror or error}") from error


def given_at(origin: Origin, text: bytes) -> Given:
    """``text`` as it stood at ``origin``.

    Empty is what a file is while it is being written; taken for the built-in default, it would
    undo for a moment whatever an operator has set. Raises ConfigError.
    """
    if not text:
        raise ConfigError.of("", f"{origin.source} is empty")
    return Given(text, origin)


def encode(given: Given) -> bytes:
    """For ``decode``: a line that says where from, then the text."""
    return json.dumps(asdict(given.origin)).encode() + b"\n" + given.text


def decode(message: bytes) -> Given:
    """What ``encode`` was given."""
    head, _, text = message.partition(b"\n")
    return Given(text, Origin(**json.loads(head)))
