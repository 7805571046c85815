"""Where values come from. Each source publishes to the store; none is waited for by an answer."""

from __future__ import annotations

from metrics_adapter.sources.running import Sources, build
from metrics_adapter.sources.source import Source

__all__ = ["Source", "Sources", "build"]
