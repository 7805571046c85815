"""What the admin port shows of the gateway: each endpoint's state, and the configuration in force.

Values for JSON, made when asked for. Unknown is null.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from gateway.config.flags import Flags
from gateway.datalayer.state import Endpoint, PoolState


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


def flags_page(flags: Flags) -> dict[str, object]:
    """The command line in force. Files are named; their contents are not shown."""
    shown = {key.replace("_", "-"): value for key, value in asdict(flags).items()}
    if flags.config_text:
        shown["config-text"] = "(shown as config)"
    if flags.config_file:
        shown["config-file"] = str(Path(flags.config_file).absolute())
    return shown
