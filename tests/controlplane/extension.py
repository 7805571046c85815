"""The objects that hand an API group to a server on this machine. Values only."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.controlplane.api import Object


def api_service(
    group: str, version: str, namespace: str, service: str, port: int, ca: Path, priority: int
) -> list[Object]:
    """A Service that is another name of localhost, and the APIService that goes through it.

    The only way to a loopback address: endpoints cannot have one.
    """
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service, "namespace": namespace},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": priority,
                "versionPriority": priority,
                "service": {"name": service, "namespace": namespace, "port": port},
                "caBundle": base64.b64encode(ca.read_bytes()).decode(),
            },
        },
    ]
