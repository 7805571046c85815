"""What a real Envoy is told: an ``EnvoyPlan`` in, a bootstrap document out. Pure.

One listener in front of one destination cluster, with the endpoint picker (ext_proc) before it or
without. ``load_tests.envoy`` runs the result, ``manifests/envoy/standalone.yaml`` is it rendered.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import yaml
from google.protobuf import struct_pb2

from gateway.extproc.messages import BodyMode

Document: TypeAlias = dict[str, Any]

DESTINATION = "x-gateway-destination-endpoint"
SERVED = "x-gateway-destination-endpoint-served"
SUBSET = "x-gateway-destination-endpoint-subset"
SIDECARS = ("x-prefiller-host-port", "x-encoder-hosts-ports", "x-data-parallel-host-port")
"""What sidecars of model servers follow to another host."""
LB_NAMESPACE = "envoy.lb"
SUBSET_NAMESPACE = "envoy.lb.subset_hint"

SUBSET_TEXT_HEADER = "x-test-subset"
"""With ``subset_test_headers``: its value becomes the subset hint, as one string."""
SUBSET_VALUE_HEADER = "x-test-subset-value"
"""The same, as the protobuf value that ``subset_value`` encodes: how a list gets in."""

# Envoy's own default. A streamed body never needs more than this in flight per connection.
STREAMING_BUFFER_BYTES = 1 << 20
# A buffered body must fit whole, or Envoy answers 413 (requests) and 500 (responses).
WHOLE_BODY_BUFFER_BYTES = 64 << 20
# A model may think for minutes before its first byte; GKE's backend policy for inference says 1 h.
STREAM_IDLE_SECONDS = 3600
# uvicorn, and so vLLM, drops idle connections after 5 s: ours go first, and no request meets a
# connection that is just closing.
UPSTREAM_IDLE_SECONDS = 4
CONNECT_SECONDS = 5
MANY = 40_000  # circuit breakers that do not break: the picker, not Envoy, bounds the load


class Balancing(Enum):
    """Who chooses the endpoint, and how Envoy is told."""

    ORIGINAL_DST = "original-dst"  # the picker, by header; Envoy needs no list of endpoints
    OVERRIDE_HOST = "override-host"  # the picker, by metadata; Envoy checks it against its list
    ROUND_ROBIN = "round-robin"
    LEAST_REQUEST = "least-request"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @property
    def text(self) -> str:
        """``host:port``, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PickerPlan:
    """How Envoy speaks to the endpoint picker. NONE for both bodies asks by headers alone."""

    address: Address
    tls: bool = True
    """Over TLS, any certificate accepted, as gateways do it; else plaintext HTTP/2."""
    request_body: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    response_body: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    failure_mode_allow: bool = False
    """Fail open: without the picker, the cluster's own policy chooses."""
    message_timeout_s: float = 300.0
    trailers: bool | None = None
    """Send trailers; None sends them where FULL_DUPLEX_STREAMED requires it."""
    health_check: bool = False
    subset_test_headers: bool = False
    """Turn the two test headers into the subset hint. Never outside tests: clients could steer."""


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    """One Envoy: where it listens, who chooses, whom it may send to."""

    listen: Address
    admin: Address
    balancing: Balancing
    endpoints: tuple[Address, ...] = ()
    """Needed by all but ORIGINAL_DST."""
    picker: PickerPlan | None = None
    strip_destination: bool = True
    """Drop what a client says about the destination, before any filter: with a picker that fails
    open, ORIGINAL_DST would otherwise connect to wherever the client likes."""
    retries: int = 1
    """After a connection that failed before the request was sent; walks a list of endpoints."""
    access_log: str | None = None
    http1_trailers: bool = False
    """Pass trailers of HTTP/1 on, which Envoy drops by default."""
    buffer_limit_bytes: int | None = None
    """Per connection; None takes what the body modes need."""

    def __post_init__(self) -> None:
        picked = self.balancing in (Balancing.ORIGINAL_DST, Balancing.OVERRIDE_HOST)
        if picked != (self.picker is not None):
            raise ValueError(f"{self.balancing.value} {'needs a' if picked else 'takes no'} picker")
        if self.balancing is not Balancing.ORIGINAL_DST and not self.endpoints:
            raise ValueError(f"{self.balancing.value} needs endpoints")


def render(plan: EnvoyPlan) -> str:
    """The bootstrap as YAML, keys in the order a reader wants them."""
    return yaml.safe_dump(bootstrap(plan), sort_keys=False, default_flow_style=False, width=100)


def bootstrap(plan: EnvoyPlan) -> Document:
    """Envoy's static bootstrap for ``plan``."""
    clusters = [_destination(plan)]
    if plan.picker is not None:
        clusters.append(_picker_cluster(plan.picker))
    return {
        "admin": {"address": _socket(plan.admin)},
        "static_resources": {"listeners": [_listener(plan)], "clusters": clusters},
        "overload_manager": {
            "resource_monitors": [
                _typed(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "envoy.extensions.resource_monitors.downstream_connections.v3."
                    "DownstreamConnectionsConfig",
                    max_active_downstream_connections=MANY,
                )
            ]
        },
    }


STANDALONE = EnvoyPlan(
    listen=Address("0.0.0.0", 8081),
    admin=Address("127.0.0.1", 19000),
    balancing=Balancing.ORIGINAL_DST,
    picker=PickerPlan(Address("127.0.0.1", 9002)),
    access_log="/dev/stdout",
)
STANDALONE_HEADER = """\
# Envoy in front of `loadstar gateway` on the same machine, without Kubernetes:
#   loadstar gateway --config-file CONFIG & envoy -c manifests/envoy/standalone.yaml
# Rendered by `python -m load_tests envoy-config`; a test fails when this file is not current.
"""


def standalone() -> str:
    """The text of ``manifests/envoy/standalone.yaml``."""
    return STANDALONE_HEADER + render(STANDALONE)


def subset_value(endpoints: Sequence[str]) -> str:
    """A list of ``ip:port`` as ``SUBSET_VALUE_HEADER`` carries it."""
    value = struct_pb2.Value()
    value.list_value.values.extend(struct_pb2.Value(string_value=e) for e in endpoints)
    return base64.b64encode(value.SerializeToString()).decode("ascii")


def _listener(plan: EnvoyPlan) -> Document:
    return {
        "name": "inference",
        "address": _socket(plan.listen),
        "per_connection_buffer_limit_bytes": _buffer_limit(plan),
        "filter_chains": [{"filters": [_connection_manager(plan)]}],
    }


def _connection_manager(plan: EnvoyPlan) -> Document:
    filters = []
    if plan.picker is not None:
        if plan.picker.subset_test_headers:
            filters.append(_subset_from_headers())
        filters.append(_ext_proc(plan.picker))
    filters.append(
        _typed(
            "envoy.filters.http.router",
            "envoy.extensions.filters.http.router.v3.Router",
            suppress_envoy_headers=True,
        )
    )
    options: Document = {
        "stat_prefix": "inference",
        "use_remote_address": True,
        "generate_request_id": True,
        "stream_idle_timeout": _seconds(STREAM_IDLE_SECONDS),
        "http2_protocol_options": {"max_concurrent_streams": 1000},
        "route_config": {"name": "inference", "virtual_hosts": [_virtual_host(plan)]},
        "http_filters": filters,
    }
    if plan.http1_trailers:
        options["http_protocol_options"] = {"enable_trailers": True}
    if plan.strip_destination:
        options["early_header_mutation_extensions"] = [
            _typed(
                "envoy.http.early_header_mutation.header_mutation",
                "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                # Here and not by the picker alone: where the proxy fails open, nobody else would.
                mutations=[{"remove": name} for name in (DESTINATION, SERVED, SUBSET, *SIDECARS)],
            )
        ]
    if plan.access_log is not None:
        options["access_log"] = [_access_log(plan.access_log)]
    return _typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        **options,
    )


def _virtual_host(plan: EnvoyPlan) -> Document:
    route: Document = {"cluster": "model_servers", "timeout": "0s"}
    if plan.retries:
        # Nothing reached the model server in these cases, so nothing is computed twice.
        route["retry_policy"] = {
            "retry_on": "connect-failure,refused-stream,reset-before-request",
            "num_retries": plan.retries,
        }
    return {
        "name": "inference",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": route}],
    }


def _ext_proc(picker: PickerPlan) -> Document:
    duplex = BodyMode.FULL_DUPLEX_STREAMED

    def trailers(body: BodyMode) -> str:
        wanted = body is duplex if picker.trailers is None else picker.trailers
        return "SEND" if wanted else "SKIP"

    return _typed(
        "envoy.filters.http.ext_proc",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": "endpoint_picker"}},
        failure_mode_allow=picker.failure_mode_allow,
        # Without the picker the service is unavailable (503), not broken (500, Envoy's default).
        status_on_error={"code": 503},
        message_timeout=_seconds(picker.message_timeout_s),
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": picker.request_body.name,
            "request_trailer_mode": trailers(picker.request_body),
            "response_header_mode": "SEND",
            "response_body_mode": picker.response_body.name,
            "response_trailer_mode": trailers(picker.response_body),
        },
        metadata_options={
            "forwarding_namespaces": {"untyped": [LB_NAMESPACE, SUBSET_NAMESPACE]},
            "receiving_namespaces": {"untyped": [LB_NAMESPACE]},
        },
    )


def _subset_from_headers() -> Document:
    def rule(header: str, **value: str) -> Document:
        return {
            "header": header,
            "on_header_present": {
                "metadata_namespace": SUBSET_NAMESPACE,
                "key": SUBSET,
                **value,
            },
            "remove": True,
        }

    return _typed(
        "envoy.filters.http.header_to_metadata",
        "envoy.extensions.filters.http.header_to_metadata.v3.Config",
        request_rules=[
            rule(SUBSET_TEXT_HEADER, type="STRING"),
            rule(SUBSET_VALUE_HEADER, type="PROTOBUF_VALUE", encode="BASE64"),
        ],
    )


def _destination(plan: EnvoyPlan) -> Document:
    upstream: Document = {"enable_trailers": True} if plan.http1_trailers else {}
    cluster: Document = {
        "name": "model_servers",
        "connect_timeout": _seconds(CONNECT_SECONDS),
        "per_connection_buffer_limit_bytes": _buffer_limit(plan),
        "circuit_breakers": _unbroken(),
        "typed_extension_protocol_options": _http(
            explicit_http_config={"http_protocol_options": upstream},
            common_http_protocol_options={"idle_timeout": _seconds(UPSTREAM_IDLE_SECONDS)},
        ),
    }
    if plan.balancing is Balancing.ORIGINAL_DST:
        return cluster | {
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "original_dst_lb_config": {"use_http_header": True, "http_header_name": DESTINATION},
        }
    return cluster | {
        "type": "STATIC",
        "load_balancing_policy": {"policies": [{"typed_extension_config": _policy(plan)}]},
        "load_assignment": _assignment("model_servers", plan.endpoints),
    }


def _policy(plan: EnvoyPlan) -> Document:
    if plan.balancing is not Balancing.OVERRIDE_HOST:
        return _builtin_policy(plan.balancing)
    fallback = {"typed_extension_config": _builtin_policy(Balancing.ROUND_ROBIN)}
    return _typed(
        "envoy.load_balancing_policies.override_host",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[{"metadata": _metadata_key(DESTINATION)}],
        selected_host_key=_metadata_key(SERVED),
        fallback_policy={"policies": [fallback]},
    )


def _builtin_policy(balancing: Balancing) -> Document:
    name = balancing.value.replace("-", "_")
    message = "".join(word.capitalize() for word in name.split("_"))
    return _typed(
        f"envoy.load_balancing_policies.{name}",
        f"envoy.extensions.load_balancing_policies.{name}.v3.{message}",
    )


def _picker_cluster(picker: PickerPlan) -> Document:
    host = picker.address.host
    numeric = ":" in host or host.replace(".", "").isdigit()
    cluster: Document = {
        "name": "endpoint_picker",
        "type": "STATIC" if numeric else "STRICT_DNS",
        "connect_timeout": _seconds(CONNECT_SECONDS),
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": _unbroken(),
        "typed_extension_protocol_options": _http(
            explicit_http_config={
                "http2_protocol_options": {
                    # A picker lost without a word (a node gone) is noticed, not waited for.
                    "connection_keepalive": {"interval": "10s", "timeout": "5s"}
                }
            }
        ),
        "load_assignment": _assignment("endpoint_picker", (picker.address,)),
    }
    if picker.tls:
        cluster["transport_socket"] = _typed(
            "envoy.transport_sockets.tls",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            common_tls_context={"validation_context": {}},
        )
    if picker.failure_mode_allow:
        cluster |= _known_to_be_down()
    elif picker.health_check:
        cluster["health_checks"] = [
            {
                "timeout": "2s",
                "interval": "10s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 2,
                "grpc_health_check": {
                    "service_name": "envoy.service.ext_proc.v3.ExternalProcessor"
                },
            }
        ]
    return cluster


def _known_to_be_down() -> Document:
    """Take a picker that cannot be reached out at once, and look every half second for it.

    A body already streamed to the picker in FULL_DUPLEX_STREAMED mode is gone when the picker
    turns out to be away: Envoy then answers 5xx although it may fail open. Only a request that
    finds the picker known to be down passes it by; one failure makes it known. The check keeps it
    known: when an ejection ends, Envoy 1.40 may fail requests for a whole second before the next.
    """
    never = ("consecutive_5xx", "consecutive_gateway_failure", "success_rate")
    return {
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "0.5s",
                "no_traffic_interval": "0.5s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "tcp_health_check": {},
            }
        ],
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 1,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
            **{f"enforcing_{reason}": 0 for reason in never},
            "interval": "1s",
            "base_ejection_time": "1s",
            "max_ejection_time": "1s",
            "max_ejection_percent": 100,
        },
    }


def _buffer_limit(plan: EnvoyPlan) -> int:
    if plan.buffer_limit_bytes is not None:
        return plan.buffer_limit_bytes
    whole = (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL)
    modes = (plan.picker.request_body, plan.picker.response_body) if plan.picker else ()
    return WHOLE_BODY_BUFFER_BYTES if any(m in whole for m in modes) else STREAMING_BUFFER_BYTES


def _access_log(path: str) -> Document:
    fields = {
        "start": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "upstream": "%UPSTREAM_HOST%",
        "ms": "%DURATION%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return _typed(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format={"json_format": fields},
    )


def _typed(name: str, message: str, /, **config: Any) -> Document:
    """A named extension with its typed configuration."""
    return {
        "name": name,
        "typed_config": {"@type": f"type.googleapis.com/{message}", **config},
    }


def _http(**options: Document) -> Document:
    message = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {message: {"@type": f"type.googleapis.com/{message}", **options}}


def _assignment(name: str, endpoints: Sequence[Address]) -> Document:
    hosts = [{"endpoint": {"address": _socket(endpoint)}} for endpoint in endpoints]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]}


def _socket(address: Address) -> Document:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _metadata_key(key: str) -> Document:
    return {"key": LB_NAMESPACE, "path": [{"key": key}]}


def _unbroken() -> Document:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(limits, MANY)]}


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
