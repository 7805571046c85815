"""How long to wait for a node before it is taken for one that does not come. Pure.

Asked by whoever drives a pool, and by the book of pools that cannot be asked themselves.
"""

from __future__ import annotations

from autoscaler.policy.pools import PoolPolicy

DELIVERY_S = 900.0
"""The cluster autoscaler's own limit for a node to come."""
_LEADS = 2.0
"""Lead times of a pool that may pass: its policy's is a 90th percentile."""


def delivery_s(pool: PoolPolicy) -> float:
    """Seconds after which a node of ``pool`` is overdue."""
    return max(DELIVERY_S, _LEADS * pool.lead_time.node_s)
