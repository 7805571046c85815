"""Whether files are right, offline: ``loadstar check FILE...``. Prints one line per problem.

An EndpointPickerConfig is read, bound and built exactly as at start-up; a file with ``endpoints``
as the discovery would read it. What a configuration names (its endpoints file) is checked too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.datalayer.confidence import confidence
from gateway.datalayer.endpoints_file import parse as parse_endpoints
from gateway.datalayer.extract.catalog import engines
from gateway.plugins.load import load
from gateway.scheduling.plugin_type import Settings
from loadstar.config.document import read
from loadstar.config.errors import ConfigError, Problem

USAGE = "usage: loadstar check FILE...\n\nFILE is an EndpointPickerConfig or an endpoints file.\n"
STALENESS_SECONDS = 2.0


def main(argv: Sequence[str]) -> int:
    """0 if every file is right, 1 if one is not, 2 if none is named."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0 if argv else 2
    wrong = False
    for name in argv:
        try:
            lines = check(Path(name))
        except ConfigError as error:
            wrong = True
            sys.stdout.writelines(f"{name}: {problem}\n" for problem in error.problems)
        else:
            sys.stdout.writelines(f"{name}: {line}\n" for line in lines)
    return 1 if wrong else 0


def check(path: Path) -> list[str]:
    """What there is to say of a file that is right. Raises ConfigError for one that is not."""
    text = _bytes(path)
    document = read(text)
    if isinstance(document, dict) and "endpoints" in document and "kind" not in document:
        return [f"{len(parse_endpoints(text).endpoints)} endpoints, ok"]
    settings = Settings(
        confidence=lambda observed_at, now: confidence(observed_at, now, STALENESS_SECONDS)
    )
    built = load(text, settings)
    engines(built.data_layer.extractor)
    lines = [str(notice) for notice in built.notices]
    if built.data_layer.discovery is not None:
        lines.append(_endpoints(Path(built.data_layer.discovery.path)))
    return [*lines, "ok"]


def _endpoints(file: Path) -> str:
    """What there is to say of the endpoints file that a configuration names."""
    try:
        text = file.read_bytes()
    except OSError as error:  # it may well be on the machine that will serve, and not on this one
        return f"{file}: not checked: {error.strerror}"
    try:
        return f"{file}: {len(parse_endpoints(text).endpoints)} endpoints"
    except ConfigError as error:
        raise ConfigError(
            Problem(f"{file}: {problem.path}".removesuffix(": "), problem.message)
            for problem in error.problems
        ) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError.of("", error.strerror or str(error)) from error
