"""What is built from the Go module registry: which module, which commands, at which version.

Values only; ``gobuild`` does the building. A changed recipe has a cache folder of its own.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recipe:
    """Commands of one Go module, built as its own go.mod would have them built."""

    name: str
    module: str
    version: str
    commands: Mapping[str, str]
    """Binary name to package."""
    local_replace_version: str | None = None
    """What the module's ``replace X => ./dir`` become: the same X, published at this version."""
    ldflags: tuple[str, ...] = ()
    about_minutes: int = 5
    """How long a cold build takes on two cores, for the progress text."""
    keep: tuple[str, ...] = field(default=())
    """Files of the module, by their path in it, to lie beside the binaries."""

    def key(self) -> str:
        """The cache folder's name: readable, and different for whatever differs in the result."""
        words = repr((self, platform.system(), platform.machine())).encode()
        return f"{self.name}-{self.version}-{hashlib.sha256(words).hexdigest()[:8]}"


KUBERNETES_VERSION = "v1.36.3"

_MAJOR, _MINOR, _PATCH = KUBERNETES_VERSION.removeprefix("v").split(".")
_VERSION_PACKAGE = "k8s.io/component-base/version"

KUBERNETES = Recipe(
    name="kubernetes",
    module="k8s.io/kubernetes",
    version=KUBERNETES_VERSION,
    commands={
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
        # At the version that this Kubernetes is itself tested with: it is in its go.mod.
        "etcd": "go.etcd.io/etcd/server/v3",
    },
    local_replace_version=f"v0.{_MINOR}.{_PATCH}",
    # Without these the server calls itself v0.0.0-master, and clients that compare refuse it.
    ldflags=(
        *("-X", f"{_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}"),
        *("-X", f"{_VERSION_PACKAGE}.gitMajor={_MAJOR}"),
        *("-X", f"{_VERSION_PACKAGE}.gitMinor={_MINOR}"),
    ),
    about_minutes=5,
)
