"""The cluster of the endpoint picker, as the ext_proc filter reaches it. Pure."""

from __future__ import annotations

from load_tests.envoy_config.checks import checks
from load_tests.envoy_config.plan import PickerPlan
from load_tests.envoy_config.words import (
    CONNECT_SECONDS,
    Document,
    assignment,
    duration,
    http_options,
    typed,
    unbroken,
)


def endpoint_picker(picker: PickerPlan) -> Document:
    """By gRPC; an address is taken as it is, a name is looked up."""
    host = picker.address.host
    numeric = ":" in host or host.replace(".", "").isdigit()
    cluster: Document = {
        "name": "endpoint_picker",
        "type": "STATIC" if numeric else "STRICT_DNS",
        "connect_timeout": duration(CONNECT_SECONDS),
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": unbroken(),
        "typed_extension_protocol_options": http_options(
            explicit_http_config={
                "http2_protocol_options": {
                    # A picker lost without a word (a node gone) is noticed, not waited for.
                    "connection_keepalive": {"interval": "10s", "timeout": "5s"}
                }
            }
        ),
        "load_assignment": assignment("endpoint_picker", (picker.address,)),
    }
    if picker.tls:
        cluster["transport_socket"] = typed(
            "envoy.transport_sockets.tls",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            common_tls_context={"validation_context": {}},
        )
    return cluster | checks(picker)
