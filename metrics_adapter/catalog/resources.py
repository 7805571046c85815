"""The objects that metrics are told of: kinds, and the words a path may call them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loadstar.kube.resources import (
    DEPLOYMENTS,
    INFERENCE_POOLS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)

LEADER_WORKER_SETS: Final = Resource(
    "leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet"
)
KNOWN: Final = (
    PODS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    LEADER_WORKER_SETS,
    SERVICES,
    INFERENCE_POOLS,
    NAMESPACES,
    NODES,
)
MADE_OF_PODS: Final = frozenset(str(resource) for resource in KNOWN if resource is not PODS)
"""Resources whose metrics may be added up from their pods."""

EXTERNAL: Final = Resource("", "", "", "")
"""Stands for no object at all: what the external metrics API tells."""

_SHORT: Final[Mapping[str, str]] = MappingProxyType(
    {"po": "pods", "svc": "services", "no": "nodes", "ns": "namespaces"}
)


def resource_called(text: str) -> str:
    """The canonical ``plural.group`` of what a path calls ``text``.

    Singulars and short names of kinds known here are understood; any other word stands for itself.
    """
    return _CALLED.get(text, text)


def resource_of(kind: str, api_version: str = "") -> Resource:
    """The resource of objects of ``kind``.

    Of a kind not known here the plural is made by the rule that most keep to.
    """
    group, _, version = api_version.rpartition("/")
    for known in KNOWN:
        if known.kind == kind and (not api_version or known.group == group):
            return known
    lower = kind.lower()
    if lower.endswith(("s", "x", "ch", "sh")):
        plural = f"{lower}es"
    elif lower.endswith("y") and lower[-2:-1] not in "aeiou":
        plural = f"{lower[:-1]}ies"
    else:
        plural = f"{lower}s"
    return Resource(group, version, plural, kind)


def _words() -> dict[str, str]:
    words = dict(_SHORT)
    for resource in KNOWN:
        suffix = f".{resource.group}" if resource.group else ""
        for word in (resource.plural, resource.kind.lower()):
            words[word + suffix] = str(resource)
    # Without a group: the only one of these names that an API server has, in practice.
    for resource in KNOWN:
        words.setdefault(resource.plural, str(resource))
        words.setdefault(resource.kind.lower(), str(resource))
    return words


_CALLED: Final[Mapping[str, str]] = MappingProxyType(_words())
