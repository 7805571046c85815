"""A pool's state: who its endpoints are (immutable epochs) and what is known of them (columns).

One writer (the store) writes the columns in place; everything that decides reads them by slot.
An endpoint keeps its slot for life, so a credit taken at pick time can be given back after the
pool has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from loadstar.arrays import Floats, Ints

NO_LABELS: Mapping[str, str] = MappingProxyType({})
NEVER = -np.inf
MEASURED = ("waiting", "running", "kv_used", "kv_blocks", "block_tokens")
"""Columns that a metrics page fills."""
OWN = ("own_requests", "own_tokens", "own_prefill")


def host_port(address: str, port: int) -> str:
    """``ip:port``, with IPv6 in brackets as Envoy's override_host wants it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model server, as discovery named it. Identity is ``namespace/name``, and the ``uid``."""

    name: str
    namespace: str
    address: str
    port: int
    slot: int
    """Row of this endpoint in ``Columns``; no two living endpoints share one."""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    metrics_port: int | None = None
    """Where /metrics is served; None means ``port``."""
    uid: str = ""
    """Tells it from an earlier server of the same name and address; empty where none is known."""
    destination: str = field(default="", compare=False)
    """What goes into the destination header: ``ip:port`` or ``[ip6]:port``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "destination", host_port(self.address, self.port))

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class LoraState:
    """Adapters of one endpoint, as its metrics page said."""

    running: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    max_adapters: int = 0


NO_LORA = LoraState()


class Columns:
    """One array per signal, one row (slot) per endpoint. Unknown is NaN, never zero.

    waiting, running   requests, as scraped
    kv_used            0..1, share of KV blocks held by requests (not by idle cached blocks)
    kv_blocks          total KV-cache blocks; block_tokens: tokens in one
    observed_at        Clock.now() of the scrape that filled the row; -inf is never
    inflight_requests  picked here and not yet ended, this gateway's own count
    inflight_tokens    estimated tokens (uncached prompt, expected output) of those
    inflight_prefill   estimated uncached prompt tokens of those without a first token yet
    own_*              this process's part of the three: where it counts its own picks
    lora               adapters, a list of LoraState

    Here one process has everything; ``shared_columns`` lays the same over the memory of several.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.waiting: Floats = np.full(capacity, np.nan)
        self.running: Floats = np.full(capacity, np.nan)
        self.kv_used: Floats = np.full(capacity, np.nan)
        self.kv_blocks: Floats = np.full(capacity, np.nan)
        self.block_tokens: Floats = np.full(capacity, np.nan)
        self.observed_at: Floats = np.full(capacity, NEVER)
        self.own_requests: Ints = np.zeros(capacity, np.int64)
        self.own_tokens: Ints = np.zeros(capacity, np.int64)
        self.own_prefill: Ints = np.zeros(capacity, np.int64)
        self.lora: list[LoraState] = [NO_LORA] * capacity

    @property
    def inflight_requests(self) -> Ints:
        return self.own_requests

    @property
    def inflight_tokens(self) -> Ints:
        return self.own_tokens

    @property
    def inflight_prefill(self) -> Ints:
        return self.own_prefill

    def settled(self, slot: int, epoch: int) -> bool:
        """Whether ``slot``, given up at ``epoch``, owes nothing and can come to owe nothing."""
        return bool(self.own_requests[slot] == 0)

    def set_lora(self, slot: int, lora: LoraState) -> None:
        """Note the adapters of ``slot``."""
        self.lora[slot] = lora

    def clear(self, slot: int) -> None:
        """Forget all about ``slot``: it is to be another's."""
        for name in (*MEASURED, *OWN):
            getattr(self, name)[slot] = np.nan if name in MEASURED else 0
        self.observed_at[slot] = NEVER
        self.set_lora(slot, NO_LORA)

    def grown(self, capacity: int) -> Columns:
        """The same rows, and room for more."""
        grown = Columns(capacity)
        for name in (*MEASURED, "observed_at", *OWN):
            getattr(grown, name)[: self.capacity] = getattr(self, name)
        grown.lora[: self.capacity] = self.lora
        return grown


@dataclass(frozen=True, slots=True)
class PoolState:
    """Membership at one epoch, and the live columns its slots index."""

    epoch: int
    endpoints: tuple[Endpoint, ...]
    columns: Columns
    slots: Ints
    """``endpoints[i].slot`` for each i."""
    by_destination: Mapping[str, Endpoint]


def pool_state(epoch: int, endpoints: tuple[Endpoint, ...], columns: Columns) -> PoolState:
    """The state of ``endpoints`` over ``columns``."""
    return PoolState(
        epoch=epoch,
        endpoints=endpoints,
        columns=columns,
        slots=np.array([e.slot for e in endpoints], np.int64),
        by_destination=MappingProxyType({e.destination: e for e in endpoints}),
    )
