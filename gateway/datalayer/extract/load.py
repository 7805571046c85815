"""What one metrics page says of its model server. A value; the extractors make it."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.datalayer.state import LoraState


@dataclass(frozen=True, slots=True)
class EndpointLoad:
    """One endpoint, once. None is 'the page does not say', which is never the same as zero."""

    waiting: float | None = None
    """Requests queued, over all ranks and models of the endpoint."""
    running: float | None = None
    """Requests being computed, likewise."""
    kv_used: float | None = None
    """0..1, share of the KV cache that requests hold; the mean over ranks."""
    kv_blocks: float | None = None
    """KV-cache blocks of all ranks together."""
    block_tokens: float | None = None
    lora: LoraState | None = None

    @property
    def silent(self) -> bool:
        """Whether the page holds no load at all: not this engine's, or no page of metrics."""
        return self.waiting is None and self.running is None and self.kv_used is None
