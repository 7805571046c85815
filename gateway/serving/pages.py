"""What the admin port shows of the gateway: each endpoint's state, and the configuration in force.

Values for JSON, made when asked for. Unknown is null.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import asdict

from gateway.config.flags import Flags
from gateway.datalayer.state import Endpoint, PoolState
from gateway.serving.policy_file import PolicyFile


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


def config_page(flags: Flags, policy: PolicyFile) -> dict[str, object]:
    """The configuration in force, since when, and the command line. Files are only named."""
    given = {key.replace("_", "-"): value for key, value in asdict(flags).items()}
    del given["config-text"]
    since = datetime.datetime.fromtimestamp(policy.since, datetime.UTC)
    return {
        "since": since.isoformat(timespec="seconds"),
        "config": policy.text.decode("utf-8", "replace") or "(the built-in default)",
        "flags": given,
    }
