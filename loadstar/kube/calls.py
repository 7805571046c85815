"""One call to a Kubernetes API server each, as protocols: who acts says which of them it makes.

``KubeClient`` has them all; a test's fake needs those that its subject names. Errors are those of
``loadstar.kube.errors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from loadstar.kube.resources import Resource


class Gets(Protocol):
    """Reads one object."""

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> dict[str, Any]: ...


class Lists(Protocol):
    """Reads all that match."""

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[dict[str, Any]]: ...


class Creates(Protocol):
    """Makes an object, or asks a review."""

    async def create(
        self,
        resource: Resource,
        document: dict[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> dict[str, Any]: ...


class Applies(Protocol):
    """Server-side apply: the fields of one manager."""

    async def apply(
        self,
        resource: Resource,
        document: dict[str, Any],
        *,
        field_manager: str,
        force: bool = False,
        subresource: str = "",
        dry_run: bool = False,
    ) -> dict[str, Any]: ...


class Patches(Protocol):
    """Changes part of an object."""

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
    ) -> dict[str, Any]: ...


class Deletes(Protocol):
    """Removes an object, by its uid where one is given."""

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, uid: str = ""
    ) -> None: ...


class ReadsPaths(Protocol):
    """Reads whatever the server says at a path."""

    async def raw(self, path: str, params: Mapping[str, str] | None = None) -> Any: ...
