"""The bootstrap of a stock Envoy that takes everything else from Istio over ADS. Values only."""

from __future__ import annotations

from tests.controlplane.api import Object
from tests.e2e import istio
from tests.e2e.gateway_api import GATEWAY_IP, GATEWAY_LABELS, GATEWAY_SERVICE, NAMESPACE

ADMIN_PORT = 19000
ADMIN_URL = f"http://127.0.0.1:{ADMIN_PORT}"
ISTIO_VERSION = "1.30.0"
CLUSTER = "xds"


def bootstrap() -> Object:
    """An Envoy that Istio takes for the one pod of its Gateway."""
    api = {"resource_api_version": "V3", "ads": {}}
    return {
        "admin": {"address": _address("127.0.0.1", ADMIN_PORT)},
        "node": {
            "id": f"router~{GATEWAY_IP}~{GATEWAY_SERVICE}-0.{NAMESPACE}"
            f"~{NAMESPACE}.svc.cluster.local",
            "cluster": f"{GATEWAY_SERVICE}.{NAMESPACE}",
            "metadata": {
                "NAMESPACE": NAMESPACE,
                "CLUSTER_ID": "Kubernetes",
                "ISTIO_VERSION": ISTIO_VERSION,
                "INSTANCE_IPS": GATEWAY_IP,
                "LABELS": GATEWAY_LABELS,
            },
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": CLUSTER}}],
            },
            "cds_config": api,
            "lds_config": api,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": CLUSTER,
                    "type": "STATIC",
                    "connect_timeout": "2s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": "type.googleapis.com/"
                            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": CLUSTER,
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {
                                        "endpoint": {
                                            "address": _address(istio.XDS_HOST, istio.XDS_PORT)
                                        }
                                    }
                                ]
                            }
                        ],
                    },
                }
            ]
        },
    }


def _address(host: str, port: int) -> Object:
    return {"socket_address": {"address": host, "port_value": port}}
