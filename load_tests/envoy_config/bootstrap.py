"""An ``EnvoyPlan`` in, a bootstrap document out, and the one that we ship. Pure."""

from __future__ import annotations

import yaml

from load_tests.envoy_config.endpoint_picker import endpoint_picker
from load_tests.envoy_config.listener import listener
from load_tests.envoy_config.model_servers import model_servers
from load_tests.envoy_config.plan import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.envoy_config.words import MANY, Document, socket, typed


def render(plan: EnvoyPlan) -> str:
    """The bootstrap as YAML, keys in the order a reader wants them."""
    return yaml.safe_dump(bootstrap(plan), sort_keys=False, default_flow_style=False, width=100)


def bootstrap(plan: EnvoyPlan) -> Document:
    """Envoy's static bootstrap for ``plan``."""
    clusters = [model_servers(plan)]
    if plan.picker is not None:
        clusters.append(endpoint_picker(plan.picker))
    return {
        "admin": {"address": socket(plan.admin)},
        "static_resources": {"listeners": [listener(plan)], "clusters": clusters},
        "overload_manager": {
            "resource_monitors": [
                typed(
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
