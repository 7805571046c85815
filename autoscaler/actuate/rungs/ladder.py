"""Which means of getting nodes this cluster offers, and the best of them at or below the one asked.

The more cooperative first: what the cluster's own autoscaler carries out it does not undo. Pure;
what is served is probed at start by the rim.
"""

from __future__ import annotations

from collections.abc import Collection

from autoscaler.policy.pools import PoolMode

CAPACITY_BUFFER = "autoscaling.x-k8s.io/v1beta1/capacitybuffers"
CAPACITY_BUFFER_ALPHA = "autoscaling.x-k8s.io/v1alpha1/capacitybuffers"
COMPUTE_CLASS = "cloud.google.com/v1/computeclasses"
PROVISIONING_REQUEST = "autoscaling.x-k8s.io/v1/provisioningrequests"

NEEDS: dict[PoolMode, tuple[str, ...]] = {
    PoolMode.BUFFER: (CAPACITY_BUFFER, CAPACITY_BUFFER_ALPHA),
    PoolMode.COMPUTE_CLASS: (COMPUTE_CLASS,),
    PoolMode.PROVISIONING_REQUEST: (PROVISIONING_REQUEST,),
}
"""Any one of these must be served; a mode that is not here needs nothing of the API server."""

BELOW: dict[PoolMode, PoolMode] = {
    PoolMode.BUFFER: PoolMode.PLACEHOLDER,
    PoolMode.COMPUTE_CLASS: PoolMode.PLACEHOLDER,
}
"""Where to go when a means is not there. Placeholder pods work on every cluster whose autoscaler
heeds pending pods; a request for all-or-nothing has no lesser form, and is only observed."""


def rung(asked: PoolMode, served: Collection[str]) -> PoolMode:
    """The means to use: ``asked`` where the cluster serves it, else the next below."""
    needs = NEEDS.get(asked, ())
    if not needs or any(each in served for each in needs):
        return asked
    return BELOW.get(asked, PoolMode.OBSERVE)


def probes() -> tuple[str, ...]:
    """``group/version/plural`` of everything to look for."""
    return tuple(each for needs in NEEDS.values() for each in needs)
