"""Builders of the gateway's values: defaults for all but what the test is about.

The default pool is calm and freshly scraped at ``NOW``; a test about the unknown says None or
``math.nan``, a test about age says ``observed_at``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import numpy as np

from gateway.datalayer.state import NO_LORA, Columns, Endpoint, LoraState, PoolState, pool_state
from gateway.request.model import Dialect, Headers, InferenceRequest, ParsedBody
from gateway.scheduling.types import Candidates, Cycle, PrefixMatch
from loadstar.arrays import Floats

NOW = 100.0
"""The moment every builder agrees on."""

Value = float | None


def endpoint(
    slot: int = 0,
    *,
    name: str | None = None,
    namespace: str = "default",
    address: str | None = None,
    port: int = 8000,
    labels: Mapping[str, str] | None = None,
    metrics_port: int | None = None,
) -> Endpoint:
    """Slot 0 is ``default/pod-0`` at ``10.0.0.1:8000``, slot 1 ``pod-1`` at ``10.0.0.2:8000``."""
    return Endpoint(
        name=f"pod-{slot}" if name is None else name,
        namespace=namespace,
        address=f"10.0.{slot // 250}.{slot % 250 + 1}" if address is None else address,
        port=port,
        slot=slot,
        labels={} if labels is None else labels,
        metrics_port=metrics_port,
    )


def pool(
    *endpoints: Endpoint,
    size: int | None = None,
    epoch: int = 1,
    waiting: Sequence[Value] | Value = 0.0,
    running: Sequence[Value] | Value = 0.0,
    kv_used: Sequence[Value] | Value = 0.0,
    kv_blocks: Sequence[Value] | Value = 1000.0,
    block_tokens: Sequence[Value] | Value = 16.0,
    observed_at: Sequence[Value] | Value = NOW,
    inflight_requests: Sequence[int] | int = 0,
    inflight_tokens: Sequence[int] | int = 0,
    inflight_prefill: Sequence[int] | int = 0,
    lora: Sequence[LoraState] = (),
    capacity: int | None = None,
) -> PoolState:
    """A pool of ``endpoints``, else of as many as the longest sequence (or ``size``, or 3).

    A sequence gives one value per endpoint, in order; a single value goes for all. None is
    unknown (NaN; for ``observed_at``: never).
    """
    given = (
        waiting,
        running,
        kv_used,
        kv_blocks,
        block_tokens,
        observed_at,
        inflight_requests,
        inflight_tokens,
        inflight_prefill,
    )
    lengths = {len(values) for values in given if isinstance(values, Sequence)}
    if lora:
        lengths.add(len(lora))
    if endpoints:
        lengths.add(len(endpoints))
    if size is not None:
        lengths.add(size)
    if len(lengths) > 1:
        raise ValueError(f"columns of different lengths: {sorted(lengths)}")
    count = lengths.pop() if lengths else 3
    members = endpoints or tuple(endpoint(slot) for slot in range(count))
    slots = [member.slot for member in members]
    columns = Columns(capacity if capacity is not None else max(slots, default=0) + 1)
    columns.waiting[slots] = _column(waiting, count, math.nan)
    columns.running[slots] = _column(running, count, math.nan)
    columns.kv_used[slots] = _column(kv_used, count, math.nan)
    columns.kv_blocks[slots] = _column(kv_blocks, count, math.nan)
    columns.block_tokens[slots] = _column(block_tokens, count, math.nan)
    columns.observed_at[slots] = _column(observed_at, count, -math.inf)
    columns.inflight_requests[slots] = inflight_requests
    columns.inflight_tokens[slots] = inflight_tokens
    columns.inflight_prefill[slots] = inflight_prefill
    for slot, adapters in zip(slots, lora or [NO_LORA] * count, strict=True):
        columns.lora[slot] = adapters
    return pool_state(epoch, tuple(members), columns)


def request(
    prompt: str | bytes = "Say hello.",
    *,
    model: str = "llama",
    headers: Mapping[str, str] | None = None,
    id: str = "request-1",
    path: str = "/v1/completions",
    dialect: Dialect = Dialect.COMPLETIONS,
    stream: bool = False,
    max_output_tokens: int | None = None,
    cache_salt: str = "",
    body: bool = True,
) -> InferenceRequest:
    """One completion request; ``body=False`` is one that is routed on its headers alone."""
    text = prompt.encode() if isinstance(prompt, str) else prompt
    parsed = ParsedBody(
        dialect=dialect,
        model=model,
        model_span=None,
        prompt=(text,),
        prompt_bytes=len(text),
        stream=stream,
        max_output_tokens=max_output_tokens,
        cache_salt=cache_salt,
    )
    return InferenceRequest(
        id=id,
        path=path,
        headers=Headers(tuple((headers or {}).items())),
        body=parsed if body else None,
        body_bytes=len(text) if body else 0,
    )


def cycle(
    state: PoolState | None = None,
    *,
    request: InferenceRequest | None = None,
    target_model: str | None = None,
    priority: int = 0,
    now: float = NOW,
    seed: int = 1,
    prefix: PrefixMatch | None = None,
) -> Cycle:
    """One scheduling of ``request`` over ``state``, with chance seeded by ``seed``."""
    asked = _default_request() if request is None else request
    return Cycle(
        request=asked,
        target_model=asked.model if target_model is None else target_model,
        priority=priority,
        state=pool() if state is None else state,
        now=now,
        rng=random.Random(seed),
        prefix=prefix,
    )


def candidates(
    state: PoolState | None = None, *, confidence: Sequence[float] | float = 1.0
) -> Candidates:
    """Every endpoint of ``state``, believed as far as ``confidence`` says."""
    members = pool() if state is None else state
    return Candidates(
        endpoints=members.endpoints,
        slots=members.slots,
        columns=members.columns,
        confidence=_column(confidence, len(members.endpoints), 0.0),
    )


def prefix_match(
    state: PoolState, matched: Sequence[int], *, total: int, block_tokens: int = 16
) -> PrefixMatch:
    """``matched[i]`` leading blocks of ``total`` are held by ``state.endpoints[i]``."""
    by_slot = np.zeros(state.columns.capacity, np.int64)
    by_slot[state.slots] = matched
    return PrefixMatch(
        hashes=tuple(range(1, total + 1)),
        block_tokens=block_tokens,
        matched_blocks=by_slot,
        total_blocks=total,
    )


def _default_request() -> InferenceRequest:
    return request()


def _column(values: Sequence[Value] | Value, count: int, unknown: float) -> Floats:
    row = values if isinstance(values, Sequence) else [values] * count
    return np.array([unknown if value is None else value for value in row], np.float64)
