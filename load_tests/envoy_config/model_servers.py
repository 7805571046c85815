"""The cluster that requests are for, and who chooses among its endpoints. Pure."""

from __future__ import annotations

from load_tests.envoy_config.plan import Balancing, EnvoyPlan
from load_tests.envoy_config.words import (
    CONNECT_SECONDS,
    DESTINATION,
    LB_NAMESPACE,
    SERVED,
    Document,
    assignment,
    duration,
    http_options,
    typed,
    unbroken,
)

# uvicorn, and so vLLM, drops idle connections after 5 s: ours go first, and no request meets a
# connection that is just closing.
UPSTREAM_IDLE_SECONDS = 4


def model_servers(plan: EnvoyPlan) -> Document:
    """Named by the picker's header, or listed under the policy that chooses."""
    upstream: Document = {"enable_trailers": True} if plan.http1_trailers else {}
    cluster: Document = {
        "name": "model_servers",
        "connect_timeout": duration(CONNECT_SECONDS),
        "per_connection_buffer_limit_bytes": plan.connection_buffer_bytes,
        "circuit_breakers": unbroken(),
        "typed_extension_protocol_options": http_options(
            explicit_http_config={"http_protocol_options": upstream},
            common_http_protocol_options={"idle_timeout": duration(UPSTREAM_IDLE_SECONDS)},
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
        "load_assignment": assignment("model_servers", plan.endpoints),
    }


def _policy(plan: EnvoyPlan) -> Document:
    if plan.balancing is not Balancing.OVERRIDE_HOST:
        return _builtin_policy(plan.balancing)
    fallback = {"typed_extension_config": _builtin_policy(Balancing.ROUND_ROBIN)}
    return typed(
        "envoy.load_balancing_policies.override_host",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[{"metadata": _metadata_key(DESTINATION)}],
        selected_host_key=_metadata_key(SERVED),
        fallback_policy={"policies": [fallback]},
    )


def _builtin_policy(balancing: Balancing) -> Document:
    name = balancing.value.replace("-", "_")
    message = "".join(word.capitalize() for word in name.split("_"))
    return typed(
        f"envoy.load_balancing_policies.{name}",
        f"envoy.extensions.load_balancing_policies.{name}.v3.{message}",
    )


def _metadata_key(key: str) -> Document:
    return {"key": LB_NAMESPACE, "path": [{"key": key}]}
