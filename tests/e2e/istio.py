"""Istio's control plane as one process: what it is told. Its CRDs lie beside the binary.

Only what an ingress needs: no sidecars, no certificates of its own, xDS in plaintext on loopback.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.controlplane.api import Object

NAMESPACE = "istio-system"
XDS_HOST, XDS_PORT = "127.0.0.1", 15010
HTTP_PORT = 8088
READY_URL = f"http://{XDS_HOST}:{HTTP_PORT}/ready"

ENVIRONMENT: Mapping[str, str] = {
    "ENABLE_GATEWAY_API_INFERENCE_EXTENSION": "true",
    "SUPPORT_GATEWAY_API_INFERENCE_EXTENSION": "true",
    "PILOT_ENABLE_ALPHA_GATEWAY_API": "true",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "POD_NAMESPACE": NAMESPACE,
    "POD_NAME": "istiod-0",
}
MESH = {
    # True would have clusters wait for certificates that an agent beside Envoy would bring.
    "enableAutoMtls": False,
    "enablePrometheusMerge": False,
    "defaultProviders": {},
    "extensionProviders": [],
}
# What Istio's build of Envoy has and the stock one has not.
FOREIGN_FILTERS = ("istio.alpn", "istio.stats")


def command(binaries: Path, kubeconfig: Path, folder: Path) -> list[str | Path]:
    """The command line; writes the mesh configuration into ``folder``."""
    mesh = folder / "mesh.yaml"
    mesh.write_text(yaml.safe_dump(MESH))
    return [
        *(binaries / "pilot-discovery", "discovery"),
        *("--kubeconfig", kubeconfig, "--meshConfig", mesh),
        *("--registries", "Kubernetes"),
        *("--grpcAddr", f"{XDS_HOST}:{XDS_PORT}", "--secureGRPCAddr", ""),
        *("--httpAddr", f"{XDS_HOST}:{HTTP_PORT}", "--httpsAddr", ""),
        *("--monitoringAddr", f"{XDS_HOST}:15014"),
    ]


def without_foreign_filters() -> Object:
    """Takes out of the gateway's listeners what the stock Envoy would reject them for."""
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "stock-envoy", "namespace": NAMESPACE},
        "spec": {
            "configPatches": [
                {
                    "applyTo": "HTTP_FILTER",
                    "match": {
                        "context": "GATEWAY",
                        "listener": {
                            "filterChain": {
                                "filter": {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "subFilter": {"name": name},
                                }
                            }
                        },
                    },
                    "patch": {"operation": "REMOVE"},
                }
                for name in FOREIGN_FILTERS
            ]
        },
    }
