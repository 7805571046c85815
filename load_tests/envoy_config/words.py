"""Envoy's words that more than one part of its configuration says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from load_tests.envoy_config.plan import Address

Document: TypeAlias = dict[str, Any]

DESTINATION = "x-gateway-destination-endpoint"
SERVED = "x-gateway-destination-endpoint-served"
SUBSET = "x-gateway-destination-endpoint-subset"
LB_NAMESPACE = "envoy.lb"
SUBSET_NAMESPACE = "envoy.lb.subset_hint"

CONNECT_SECONDS = 5
MANY = 40_000  # circuit breakers that do not break: the picker, not Envoy, bounds the load


def typed(name: str, message: str, /, **config: Any) -> Document:
    """A named extension with its typed configuration."""
    return {
        "name": name,
        "typed_config": {"@type": f"type.googleapis.com/{message}", **config},
    }


def http_options(**options: Document) -> Document:
    """What a cluster says of HTTP to its endpoints."""
    message = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {message: {"@type": f"type.googleapis.com/{message}", **options}}


def assignment(name: str, endpoints: Sequence[Address]) -> Document:
    """The endpoints of a cluster that keeps a list of them."""
    hosts = [{"endpoint": {"address": socket(endpoint)}} for endpoint in endpoints]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]}


def socket(address: Address) -> Document:
    """Where to listen or to connect, in Envoy's form."""
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def unbroken() -> Document:
    """Circuit breakers out of the way."""
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(limits, MANY)]}


def duration(seconds: float) -> str:
    """As protobuf writes it in JSON."""
    return f"{seconds:g}s"
