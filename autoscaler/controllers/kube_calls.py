"""The calls to a Kubernetes API server that acting takes; ``KubeClient`` has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from loadstar.kube.resources import Resource


class Kube(Protocol):
    """What the drivers need of a Kubernetes client."""

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> dict[str, Any]: ...

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[dict[str, Any]]: ...

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

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, uid: str = ""
    ) -> None: ...

    async def raw(self, path: str, params: Mapping[str, str] | None = None) -> Any: ...
