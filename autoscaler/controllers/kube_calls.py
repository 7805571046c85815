"""The calls to a Kubernetes API server that acting takes; ``KubeClient`` has them."""

from __future__ import annotations

from typing import Protocol

from loadstar.kube.calls import Applies, Deletes, Gets, Lists, Patches, ReadsPaths


class Kube(Gets, Lists, Applies, Patches, Deletes, ReadsPaths, Protocol):
    """What the drivers need of a Kubernetes client."""
