"""What a request is about, in the words that Kubernetes authorizes by. Pure.

``/apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME/SUBRESOURCE`` and its shorter forms are read just
as kube-apiserver reads them, quirks included, so that a rule means the same asked there and here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "GET": "get",
        "HEAD": "get",
        "POST": "create",
        "PUT": "update",
        "PATCH": "patch",
        "DELETE": "delete",
    }
)
SPECIAL_VERBS = ("proxy", "watch")
"""First words after the version that once were verbs; no resource can have these names."""
NAMESPACE_PARTS = ("status", "finalize")
"""After a namespace's name these are parts of the namespace and not resources in it."""
GROUP_PARTS = 3
"""``apis``, the group and the version; discovery ends here."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked about. ``resource`` is empty for a path that names none."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""

    @property
    def scope(self) -> str:
        """As the ``scope`` label of apiserver_request_total."""
        if not self.resource:
            return ""
        if self.name:
            return "resource"
        return "namespace" if self.namespace else "cluster"


def attributes(
    method: str, path: str, segments: Sequence[str], query: Mapping[str, str]
) -> Attributes:
    """``segments`` are the path's, percent-decoded one by one; ``path`` is as it was sent."""
    verb = VERBS.get(method, method.lower())
    if len(segments) <= GROUP_PARTS or segments[0] != "apis":
        return Attributes(method.lower(), path)
    group, version, rest = segments[1], segments[2], list(segments[GROUP_PARTS:])
    if rest[0] in SPECIAL_VERBS and len(rest) > 1:
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        # A namespace is also an object, whose own parts come straight after its name.
        if len(rest) > 2 and rest[2] not in NAMESPACE_PARTS:
            rest = rest[2:]
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if not name and verb == "get":
        verb = "watch" if _is_true(query.get("watch", "")) else "list"
        name = _named(query)
    elif not name and verb == "delete":
        verb = "deletecollection"
    return Attributes(verb, path, group, version, namespace, resource, subresource, name)


def _named(query: Mapping[str, str]) -> str:
    """The name that a field selector of one name means."""
    key, equals, value = query.get("fieldSelector", "").partition("=")
    return value.removeprefix("=") if equals and key == "metadata.name" else ""


def _is_true(text: str) -> bool:
    return text in ("1", "true", "True", "TRUE", "t", "T")
