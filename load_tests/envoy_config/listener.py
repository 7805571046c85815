"""What Envoy does with a client's connection: filters, the one route, the access log. Pure."""

from __future__ import annotations

from load_tests.envoy_config.filters import ext_proc, subset_from_headers
from load_tests.envoy_config.plan import EnvoyPlan
from load_tests.envoy_config.words import (
    DESTINATION,
    SERVED,
    SUBSET,
    Document,
    duration,
    socket,
    typed,
)

SIDECARS = ("x-prefiller-host-port", "x-encoder-hosts-ports", "x-data-parallel-host-port")
"""What sidecars of model servers follow to another host."""
# A model may think for minutes before its first byte; GKE's backend policy for inference says 1 h.
STREAM_IDLE_SECONDS = 3600


def listener(plan: EnvoyPlan) -> Document:
    """One for all, on ``plan.listen``."""
    return {
        "name": "inference",
        "address": socket(plan.listen),
        "per_connection_buffer_limit_bytes": plan.connection_buffer_bytes,
        "filter_chains": [{"filters": [_connection_manager(plan)]}],
    }


def _connection_manager(plan: EnvoyPlan) -> Document:
    filters = []
    if plan.picker is not None:
        if plan.picker.subset_test_headers:
            filters.append(subset_from_headers())
        filters.append(ext_proc(plan.picker))
    filters.append(
        typed(
            "envoy.filters.http.router",
            "envoy.extensions.filters.http.router.v3.Router",
            suppress_envoy_headers=True,
        )
    )
    options: Document = {
        "stat_prefix": "inference",
        "use_remote_address": True,
        "generate_request_id": True,
        "stream_idle_timeout": duration(STREAM_IDLE_SECONDS),
        "http2_protocol_options": {"max_concurrent_streams": 1000},
        "route_config": {"name": "inference", "virtual_hosts": [_virtual_host(plan)]},
        "http_filters": filters,
    }
    if plan.http1_trailers:
        options["http_protocol_options"] = {"enable_trailers": True}
    if plan.strip_destination:
        options["early_header_mutation_extensions"] = [
            typed(
                "envoy.http.early_header_mutation.header_mutation",
                "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                # Here and not by the picker alone: where the proxy fails open, nobody else would.
                mutations=[{"remove": name} for name in (DESTINATION, SERVED, SUBSET, *SIDECARS)],
            )
        ]
    if plan.access_log is not None:
        options["access_log"] = [_access_log(plan.access_log)]
    return typed(
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
    return typed(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format={"json_format": fields},
    )
