"""Whether configurations are right, offline: ``loadstar check FILE|DIR...``, one line per finding.

It finds the documents in what is named, wherever they are wrapped, and asks whoever knows each. A
service's checker is a module with::

    KINDS: Sequence[str]                             the kinds it knows, to guess at a typing error
    def knows(document: Mapping[str, Value]) -> bool
    def check(document: Mapping[str, Value], place: str) -> list[Problem]

``place`` is where the document stands; paths of problems begin with it, as they do when it is
handed on as the path of ``loadstar.config.load.build``. A ``Remark`` is nothing to mend. Checkers
are imported only when there is something to check; one whose service is not there is left out.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from loadstar.config.document import Value
from loadstar.config.errors import ConfigError, Problem, Remark
from loadstar.config.wrapping import TEXT_ENDINGS, Document, Found, documents

USAGE = """\
usage: loadstar check FILE|DIR...

Says whether configurations are right: EndpointPickerConfigs, endpoints files and the policies of
the other services, as files of one or more documents, or inside ConfigMaps and Lists. Of a DIR,
every .yaml, .yml and .json below it. Exit code 0: all right, 1: something is to be mended.
"""
TYPING_ERROR = 0.85
"""How alike two kinds are if one is the other mistyped; NetworkPolicy is no AutoscalerPolicy."""
CHECKERS = ("gateway.check", "metrics_adapter.check", "autoscaler.check")


class Checker(Protocol):
    """What a checking module offers."""

    KINDS: Sequence[str]

    def knows(self, document: Mapping[str, Value]) -> bool: ...

    def check(self, document: Mapping[str, Value], place: str) -> list[Problem]: ...


def main(argv: Sequence[str]) -> int:
    """0 if everything is right, 1 if something is not, 2 if nothing is named."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0 if argv else 2
    checkers = available()
    wrong = False
    for path, named in _files(argv):
        for line, is_problem in check_file(path, checkers, named=named):
            wrong = wrong or is_problem
            sys.stdout.write(f"{line}\n")
    return 1 if wrong else 0


def available(modules: Sequence[str] = CHECKERS) -> list[Checker]:
    """The checkers of this build."""
    found: list[Checker] = []
    for name in modules:
        try:
            found.append(cast("Checker", importlib.import_module(name)))
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
                raise  # it is there, and something that it needs is not
    return found


def check_file(
    path: Path, checkers: Sequence[Checker], *, named: bool = True
) -> Iterator[tuple[str, bool]]:
    """Lines to say of a file, and whether each is about something wrong.

    A file that was ``named`` must hold something that is known here; one found in a folder need
    not.
    """
    if path.is_dir():  # only folders without a file to check come here
        yield f"{path}: no file that ends in {', '.join(TEXT_ENDINGS)}", True
        return
    try:
        found = documents(path.read_bytes())
    except OSError as error:
        yield f"{path}: {error.strerror or error}", True
        return
    except ConfigError as error:
        yield from ((f"{path}: {problem}", True) for problem in error.problems)
        return
    if not found and named:
        yield f"{path}: the document is empty", True
    for document in found:
        where = f"{path}: " if len(found) == 1 else f"{path}: {_name(document)}: "
        for problem in _document(document, checkers, named=named):
            yield f"{where}{problem}", not isinstance(problem, Remark)


def _name(document: Document) -> str:
    suffix = f" ({document.title})" if document.title else ""
    return f"document {document.number}{suffix}"


def _document(document: Document, checkers: Sequence[Checker], *, named: bool) -> list[Problem]:
    said: list[Problem] = []
    checked = 0
    for found in document.found:
        about = [*found.problems] or _inner(found, checkers, wrapped=found.place != "", named=named)
        if about is not None:
            checked += 1
            said += about
    if not checked:
        return [Remark("", "not checked: nothing in it is known here")] if named else []
    if all(isinstance(problem, Remark) for problem in said):
        said.append(Remark("", "ok"))
    return said


def _inner(
    found: Found, checkers: Sequence[Checker], *, wrapped: bool, named: bool
) -> list[Problem] | None:
    """What there is to say; None if nobody knows the document and nobody needs to."""
    value, place = found.value, found.place
    if not isinstance(value, dict):
        message = f"must be a mapping, not {type(value).__name__}"
        return [Problem(place, message)] if named and not wrapped else None
    for checker in checkers:
        if checker.knows(value):
            if place.endswith(")"):
                return [Problem(place, "one key holds one document; this is one of several")]
            return checker.check(value, place)
    kinds = [kind for checker in checkers for kind in checker.KINDS]
    kind = value.get("kind")
    close = difflib.get_close_matches(str(kind)[:200], kinds, n=1, cutoff=TYPING_ERROR)
    if close:
        message = f'unknown kind "{kind}", did you mean {close[0]}?'
        return [Problem("kind", message).within(place)]
    if kind is None and named and not wrapped:
        return [Problem(place, f"it says no kind; known here are {', '.join(kinds)}")]
    return None


def _files(names: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """Every file to look at, and whether it was named itself."""
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield path, True
            continue
        inside = list(_below(path))
        yield from ((file, False) for file in inside)
        if not inside:
            yield path, True


def _below(folder: Path) -> Iterator[Path]:
    """Readable files below ``folder`` in order; a chart's templates are no YAML yet."""
    for at, folders, files in os.walk(folder):
        hidden = [name for name in folders if name.startswith(".")]  # as kubelet's ..data is
        unrendered = ["templates"] if "Chart.yaml" in files else []
        folders[:] = sorted(set(folders) - {*hidden, *unrendered})
        for name in sorted(files):
            if name.endswith(TEXT_ENDINGS) and not name.startswith("."):
                yield Path(at, name)
