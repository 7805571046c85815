"""Documents of a Kubernetes API server in memory: versions, conflicts, applied fields, refusals.

Server-side apply is a merge by field here; whose field it is, and validation, are tried against the
real server under the marker ``controlplane``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from loadstar.kube.errors import ApiError, Conflict, NotFound
from loadstar.kube.resources import Resource


@dataclass
class Write:
    verb: str
    what: str
    body: Any
    manager: str = ""


@dataclass
class KubeDocuments:
    """``writes`` is every write that was tried; ``refuse`` holds errors for the next of them.

    ``lost`` holds errors of writes that are carried out and their answers lost; None: not lost.
    ``pruned`` are fields of a spec that this server does not know and drops without a word.
    """

    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    refuse: list[ApiError] = field(default_factory=list)
    lost: list[ApiError | None] = field(default_factory=list)
    pruned: set[str] = field(default_factory=set)
    _version: int = 0

    def put(self, resource: Resource, document: dict[str, Any]) -> dict[str, Any]:
        """Place ``document`` there, as somebody else would."""
        self._version += 1
        metadata = document["metadata"]
        metadata["resourceVersion"] = str(self._version)
        metadata.setdefault("uid", f"uid-{self._version}")
        key = (resource.plural, metadata.get("namespace", ""), metadata["name"])
        self.objects[key] = document
        return document

    def at(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any]:
        found = self.objects.get((resource.plural, namespace, name))
        if found is None:
            raise NotFound(f'{resource} "{name}" not found', status=404)
        return found

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> dict[str, Any]:
        found = copy.deepcopy(self.at(resource, name, namespace))
        if subresource == "scale":
            replicas = found.get("spec", {}).get("replicas", 1)
            return {"metadata": found["metadata"], "spec": {"replicas": replicas}}
        return found

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[dict[str, Any]]:
        key, _, value = labels.partition("=")
        return [
            copy.deepcopy(found)
            for (plural, place, _), found in sorted(self.objects.items())
            if plural == resource.plural
            and place == namespace
            and (not key or found["metadata"].get("labels", {}).get(key) == value)
        ]

    async def apply(
        self,
        resource: Resource,
        document: dict[str, Any],
        *,
        field_manager: str,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> dict[str, Any]:
        metadata = document["metadata"]
        self._write("apply", f"{resource}/{metadata['name']}", document.get("spec"), field_manager)
        key = (resource.plural, metadata.get("namespace", ""), metadata["name"])
        before = copy.deepcopy(self.objects.get(key, {"metadata": {}}))
        made = _merged(before, document)
        for name in self.pruned & set(made.get("spec", {})):
            del made["spec"][name]
        return self._answered(resource, made)

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        change: object,
        *,
        content_type: str = "application/merge-patch+json",
        subresource: str = "",
        field_manager: str = "",
    ) -> dict[str, Any]:
        assert isinstance(change, dict)
        verb = f"patch {subresource}".strip()
        self._write(verb, f"{resource}/{name}", change, field_manager)
        found = self.at(resource, name, namespace)
        version = change.get("metadata", {}).get("resourceVersion")
        if version not in (None, found["metadata"]["resourceVersion"]):
            raise Conflict("the object has been modified", status=409)
        return self._answered(resource, _merged(copy.deepcopy(found), change))

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, uid: str = ""
    ) -> None:
        self._write("delete", f"{resource}/{name}", None, "")
        self.at(resource, name, namespace)
        del self.objects[(resource.plural, namespace, name)]

    def _answered(self, resource: Resource, document: dict[str, Any]) -> dict[str, Any]:
        made = self.put(resource, document)
        error = self.lost.pop(0) if self.lost else None
        if error is not None:
            raise error
        return made

    def _write(self, verb: str, what: str, body: Any, manager: str) -> None:
        self.writes.append(Write(verb, what, body, manager))
        if self.refuse:
            raise self.refuse.pop(0)


def _merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    made = dict(before)
    for key, value in after.items():
        if isinstance(value, dict):
            made[key] = _merged(made.get(key) or {}, value)
        elif value is None:
            made.pop(key, None)
        else:
            made[key] = copy.deepcopy(value)
    return made
