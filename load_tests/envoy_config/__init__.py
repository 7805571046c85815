"""What a real Envoy is told: an ``EnvoyPlan`` in, a bootstrap document out. Pure.

One listener in front of one destination cluster, with the endpoint picker (ext_proc) before it or
without. ``load_tests.envoy`` runs the result, ``manifests/envoy/standalone.yaml`` is it rendered.
"""

from __future__ import annotations

from load_tests.envoy_config.bootstrap import bootstrap, render, standalone
from load_tests.envoy_config.filters import subset_value
from load_tests.envoy_config.plan import Address, Balancing, EnvoyPlan, PickerPlan

__all__ = [
    "Address",
    "Balancing",
    "EnvoyPlan",
    "PickerPlan",
    "bootstrap",
    "render",
    "standalone",
    "subset_value",
]
