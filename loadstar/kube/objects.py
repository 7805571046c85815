"""The few typed views that we keep of the API's objects, parsed from their documents. Pure.

A view holds what decides and nothing else, so that thousands of pods cost little. Whatever a
document lacks or has wrong raises ValueError: the reflector leaves such an object out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from loadstar.kube.conditions import is_true
from loadstar.kube.resources import Resource

NO_TEXTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Which object: what an event is about, or an owner."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""

    @property
    def document(self) -> dict[str, str]:
        """As the API has it, without what is empty."""
        said = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
            "resourceVersion": self.resource_version,
        }
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Meta:
    """An object's metadata."""

    name: str
    namespace: str
    uid: str
    created: str
    """RFC 3339 in UTC to the second: compares as text."""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)
    annotations: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod: who it is, where it answers, and whether it should be asked."""

    name: str
    namespace: str
    uid: str
    address: str
    """Its IP, in canonical spelling; empty before it has one."""
    ready: bool
    """By its Ready condition."""
    terminating: bool
    labels: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)
    annotations: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)
    node: str = ""
    owner: str = ""
    """``Kind/name`` of the controller that made it; empty for a pod of its own."""
    created: str = ""
    """RFC 3339 in UTC to the second: compares as text."""


@dataclass(frozen=True, slots=True)
class InferencePool:
    """A pool of model servers: which pods, and on which ports."""

    name: str
    namespace: str
    uid: str
    selector: Mapping[str, str]
    """``matchLabels``; never empty."""
    target_ports: tuple[int, ...]
    app_protocol: str = "http"
    terminating: bool = False
    labels: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)
    """Its own, by which objectives may mean it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale subresource: how many are wanted, how many there are, and which pods those are."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    wanted: int
    current: int
    selector: str = ""


def meta(document: Mapping[str, Any], *, annotations: frozenset[str] | None = None) -> Meta:
    """The metadata of ``document``; of its annotations those named, or all."""
    said = mapping(document.get("metadata"), "metadata")
    return Meta(
        name=text(said, "name"),
        namespace=str(said.get("namespace") or ""),
        uid=str(said.get("uid") or ""),
        created=str(said.get("creationTimestamp") or ""),
        labels=_texts(said.get("labels")),
        annotations=_texts(said.get("annotations"), annotations),
        terminating=bool(said.get("deletionTimestamp")),
    )


def ref(document: Mapping[str, Any], resource: Resource | None = None) -> ObjectRef:
    """A reference to ``document``."""
    said = mapping(document.get("metadata"), "metadata")
    return ObjectRef(
        api_version=resource.api_version if resource else str(document.get("apiVersion") or ""),
        kind=resource.kind if resource else str(document.get("kind") or ""),
        name=text(said, "name"),
        namespace=str(said.get("namespace") or ""),
        uid=str(said.get("uid") or ""),
        resource_version=str(said.get("resourceVersion") or ""),
    )


def pod(document: Mapping[str, Any], *, annotations: frozenset[str] | None = None) -> Pod:
    """A pod; of its annotations only those named are kept, or all."""
    about = meta(document, annotations=annotations)
    status = mapping(document.get("status") or {}, "status")
    spec = mapping(document.get("spec") or {}, "spec")
    address = str(status.get("podIP") or "")
    owners = items(document["metadata"].get("ownerReferences"), "ownerReferences")
    owner = next((o for o in owners if o.get("controller")), None)
    return Pod(
        name=about.name,
        namespace=about.namespace,
        uid=about.uid,
        address=str(ip_address(address)) if address else "",
        ready=is_true(items(status.get("conditions"), "status.conditions"), "Ready"),
        terminating=about.terminating,
        labels=about.labels,
        annotations=about.annotations,
        node=str(spec.get("nodeName") or ""),
        owner="" if owner is None else f"{owner.get('kind')}/{owner.get('name')}",
        created=about.created,
    )


def inference_pool(document: Mapping[str, Any]) -> InferencePool:
    """An InferencePool of either group.

    The alpha group has one ``targetPortNumber`` and labels directly under ``selector``.
    """
    about = meta(document, annotations=frozenset())
    spec = mapping(document.get("spec"), "spec")
    selector = mapping(spec.get("selector"), "spec.selector")
    labels = selector.get("matchLabels", selector)
    if not labels:
        raise ValueError("spec.selector: is empty")
    ports = [whole(entry, "number") for entry in items(spec.get("targetPorts"), "spec.targetPorts")]
    if not ports and spec.get("targetPortNumber") is not None:
        ports = [whole(spec, "targetPortNumber")]
    if not ports or not all(0 < port < 65536 for port in ports):
        raise ValueError("spec.targetPorts: must be ports, at least one")
    return InferencePool(
        name=about.name,
        namespace=about.namespace,
        uid=about.uid,
        selector=_texts(labels),
        target_ports=tuple(dict.fromkeys(ports)),
        app_protocol=str(spec.get("appProtocol") or "http"),
        terminating=about.terminating,
        labels=about.labels,
    )


def scale(document: Mapping[str, Any]) -> Scale:
    """An ``autoscaling/v1`` Scale."""
    about = meta(document, annotations=frozenset())
    spec = mapping(document.get("spec") or {}, "spec")
    status = mapping(document.get("status") or {}, "status")
    return Scale(
        name=about.name,
        namespace=about.namespace,
        uid=about.uid,
        resource_version=str(document["metadata"].get("resourceVersion") or ""),
        wanted=whole(spec, "replicas"),
        current=whole(status, "replicas"),
        selector=str(status.get("selector") or ""),
    )


def text(document: Mapping[str, Any], key: str) -> str:
    """The text at ``key``. Raises ValueError where there is none."""
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: is missing")
    return value


def whole(document: Mapping[str, Any], key: str) -> int:
    """The whole number at ``key``; 0 where there is none. Raises ValueError for anything else."""
    value = document.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError(f"{key}: must be a whole number")
    return value or 0


def items(value: object, where: str) -> list[Mapping[str, Any]]:
    """A list of objects; none where there is nothing. Raises ValueError for anything else."""
    if not value:
        return []
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: must be a list")
    return [mapping(each, where) for each in value]


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """An object. Raises ValueError for anything else."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: must be an object")
    return value


def _texts(value: object, wanted: frozenset[str] | None = None) -> Mapping[str, str]:
    if not value:
        return NO_TEXTS
    said = mapping(value, "a map of texts")
    kept = {str(k): str(v) for k, v in said.items() if wanted is None or k in wanted}
    return MappingProxyType(kept) if kept else NO_TEXTS
