"""What is built from the Go module registry: which module, which commands, at which version.

Values only; ``gobuild`` does the building. A changed recipe has a cache folder of its own.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass


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
    keep: tuple[tuple[str, str], ...] = ()
    """Files to lie beside the binaries: a module of the build, and a path in it."""

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

_PILOT_CRDS = "manifests/charts/base/files/crd-all.gen.yaml"
_GATEWAY_API = "sigs.k8s.io/gateway-api"
_GATEWAY_CRDS = "config/crd/experimental/gateway.networking.k8s.io"

# Istio's module has no tagged versions in the registry; this is what its head was then.
ISTIO = Recipe(
    name="istio",
    module="istio.io/istio",
    version="v0.0.0-20260827124520-eed52ebb66ad",
    commands={"pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery"},
    about_minutes=10,
    keep=(
        ("istio.io/istio", _PILOT_CRDS),
        *(
            (_GATEWAY_API, f"{_GATEWAY_CRDS}_{plural}.yaml")
            for plural in (
                "backendtlspolicies",
                "gatewayclasses",
                "gateways",
                "grpcroutes",
                "httproutes",
                "listenersets",
                "referencegrants",
                "tcproutes",
                "tlsroutes",
                "udproutes",
            )
        ),
    ),
)
