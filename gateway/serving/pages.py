"""What the admin port shows of the gateway: each endpoint's state, and the configuration in force.

Values for JSON, made when asked for. Unknown is null.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import asdict

from gateway.config.flags import Flags
from gateway.datalayer.state import Endpoint, PoolState
from gateway.serving.policy_given import Refusal
from gateway.serving.policy_in_force import PolicyInForce


def endpoints_page(state: PoolState, now: float) -> dict[str, object]:
    """Every endpoint with what is known of it and how old that is, in seconds."""
    return {
        "epoch": state.epoch,
        "endpoints": [_endpoint(state, endpoint, now) for endpoint in state.endpoints],
    }


def _endpoint(state: PoolState, endpoint: Endpoint, now: float) -> dict[str, object]:
    columns, slot = state.columns, endpoint.slot
    lora = columns.lora[slot]
    return {
        "id": endpoint.id,
        "destination": endpoint.destination,
        "metricsPort": endpoint.metrics_port or endpoint.port,
        "labels": dict(endpoint.labels),
        "ageSeconds": _known(now - float(columns.observed_at[slot])),
        "waiting": _known(columns.waiting[slot]),
        "running": _known(columns.running[slot]),
        "kvUsed": _known(columns.kv_used[slot]),
        "kvBlocks": _known(columns.kv_blocks[slot]),
        "blockTokens": _known(columns.block_tokens[slot]),
        "inflightRequests": int(columns.inflight_requests[slot]),
        "inflightTokens": int(columns.inflight_tokens[slot]),
        "inflightPrefillTokens": int(columns.inflight_prefill[slot]),
        "lora": {
            "running": sorted(lora.running),
            "waiting": sorted(lora.waiting),
            "maxAdapters": lora.max_adapters,
        },
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def config_page(flags: Flags, policy: PolicyInForce) -> dict[str, object]:
    """The configuration in force: what, from where, since when; what was refused; the flags.

    Files are only named.
    """
    given = {key.replace("_", "-"): value for key, value in asdict(flags).items()}
    del given["config-text"]
    return {
        "since": _moment(policy.since),
        "source": policy.given.origin.source,
        "resourceVersion": policy.given.origin.resource_version or None,
        "sha256": policy.given.sha256,
        "config": policy.given.text.decode("utf-8", "replace") or "(the built-in default)",
        "lastRefusal": None if policy.refusal is None else _refusal(policy.refusal, policy),
        "flags": given,
    }


def _refusal(refusal: Refusal, policy: PolicyInForce) -> dict[str, object]:
    return {
        "at": _moment(refusal.at),
        "stands": policy.standing,
        "source": refusal.origin.source,
        "resourceVersion": refusal.origin.resource_version or None,
        "problems": [str(problem) for problem in refusal.problems],
    }


def _moment(wall: float) -> str:
    return datetime.datetime.fromtimestamp(wall, datetime.UTC).isoformat(timespec="seconds")
