"""Which pools and routes the scenario has. Values only."""

from __future__ import annotations

from tests.controlplane.api import Object
from tests.e2e import gateway_api
from tests.e2e.gateway_api import H2C, Pool

PRIMARY = Pool("primary", "10.77.0.20", ("10.77.1.1", "10.77.1.2", "10.77.1.3"), (3000, 3001))
"""Two ranks a pod; it fails closed."""
SECONDARY = Pool("secondary", "10.77.0.21", ("10.77.2.1", "10.77.2.2"), fails_open=True)
MODERN = Pool("modern", "10.77.0.22", ("10.77.3.1", "10.77.3.2"), app_protocol=H2C)
"""Its model servers speak HTTP/2 only, and show no metrics that the picker could read."""
EVERYDAY = Pool("everyday", "10.77.0.23", ("10.77.4.1", "10.77.4.2"), picked_by_header=False)
"""Picked from by load and prefix, as anybody would have it."""
POOLS = (PRIMARY, SECONDARY, MODERN, EVERYDAY)

SPLIT_HOSTNAME = "split.example.com"
SPLIT = ((PRIMARY, 70), (SECONDARY, 30))
PORT_SCENARIOS = {"no-port": None, "port-of-the-pool": 3000, "another-port": 8888}
"""Routes to the secondary pool, by the port that they give."""
RULES_HOSTNAME = "rules.example.com"
RULES = (("/secondary/", SECONDARY), ("/", PRIMARY))
"""One route that chooses the pool by path."""


def routes() -> list[Object]:
    return [
        *(gateway_api.route(each.name, each.hostname, [(each, 1)]) for each in POOLS),
        *(
            gateway_api.route(name, f"{name}.example.com", [(SECONDARY, 1)], port=port)
            for name, port in PORT_SCENARIOS.items()
        ),
        gateway_api.route("split", SPLIT_HOSTNAME, SPLIT),
        gateway_api.route_by_path("rules", RULES_HOSTNAME, RULES),
    ]
