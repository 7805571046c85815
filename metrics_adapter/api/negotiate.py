"""What a caller asked to be given: media types, indentation. Pure.

JSON is all that is served, and a caller is turned away only if it names nothing that JSON can
stand for: clients list types they would like better and take JSON all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

SERVED = ("application/json", "*/*", "application/*")
DISCOVERY_GROUP = "apidiscovery.k8s.io"
DISCOVERY_VERSIONS = ("v2", "v2beta1")
DISCOVERY_KIND = "APIGroupDiscoveryList"
HUMAN_AGENTS = ("curl", "Wget", "Mozilla/5.0")
"""Callers that get indented documents without asking, as from kube-apiserver."""
MAX_CLAUSES = 64


@dataclass(frozen=True, slots=True)
class Clause:
    """One type of an Accept header with its parameters."""

    type: str
    parameters: Mapping[str, str]


def clauses(accept: Iterable[str]) -> Iterator[Clause]:
    """In the caller's order; quality values are left aside, as Kubernetes does."""
    text = ",".join(accept)
    for part in text.split(",", MAX_CLAUSES)[:MAX_CLAUSES]:
        kind, *rest = (piece.strip() for piece in part.split(";"))
        if kind:
            pairs = (piece.partition("=") for piece in rest)
            yield Clause(kind.lower(), {name.strip(): value.strip() for name, _, value in pairs})


def takes_json(accept: Iterable[str]) -> bool:
    """Whether a plain JSON document is an answer; no header at all means anything is."""
    found = list(clauses(accept))
    return not found or any(
        clause.type in SERVED and not _is_other_shape(clause) for clause in found
    )


def discovery_version(accept: Iterable[str]) -> str | None:
    """Which aggregated discovery document is wanted; None is the plain list."""
    for clause in clauses(accept):
        wanted = clause.parameters
        if (
            clause.type in SERVED
            and wanted.get("as") == DISCOVERY_KIND
            and wanted.get("g") == DISCOVERY_GROUP
            and wanted.get("v") in DISCOVERY_VERSIONS
        ):
            return wanted["v"]
        if clause.type in SERVED and not _is_other_shape(clause):
            return None  # the caller likes the plain one better than what comes after
    return None


def discovery_type(version: str) -> str:
    """The content type of that document."""
    return f"application/json;g={DISCOVERY_GROUP};v={version};as={DISCOVERY_KIND}"


def wants_indent(query: Mapping[str, str], agent: str) -> bool:
    """Whether a person reads it."""
    if "pretty" in query:
        return query["pretty"] in ("", "1", "true", "True", "TRUE", "t", "T")
    return agent.startswith(HUMAN_AGENTS)


def _is_other_shape(clause: Clause) -> bool:
    """A table, partial metadata: shapes that metrics do not come in."""
    return "as" in clause.parameters
