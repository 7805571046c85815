"""What one peer may cost us. Every number is a bound on memory or CPU per connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds of one connection; the defaults fit an Envoy that multiplexes thousands of streams."""

    max_connections: int = 1024
    """Of the whole server; an Envoy keeps one for each of its threads."""
    max_streams: int = 16_384
    """One more is refused, not queued. A stream lasts as long as the answer it is about."""
    announced_streams: int = 16_384
    """Said as MAX_CONCURRENT_STREAMS. Fewer than ``max_streams`` makes a proxy open another
    connection, and costs nothing to one that has opened more before it heard."""
    max_frame_bytes: int = 16_384
    """Announced as MAX_FRAME_SIZE. Envoy's codec cuts DATA at 16,384 whatever we announce."""
    stream_window_bytes: int = 1 << 20
    connection_window_bytes: int = 16 << 20
    max_header_block_bytes: int = 32_768
    """Compressed; HEADERS and its CONTINUATION frames together."""
    max_header_list_bytes: int = 65_536
    """After decompression (an HPACK bomb ends here)."""
    max_continuations: int = 16
    max_message_bytes: int = (64 << 20) + (1 << 20)
    """One gRPC message; a BUFFERED body arrives as one."""
    max_unsent_bytes: int = 8 << 20
    """Answers queued for a peer that does not read; above it we stop reading from it."""
    max_pending_bytes: int = 256 << 20
    """Partly received messages of all streams of this connection."""
    control_burst: float = 2_000.0
    control_per_second: float = 500.0
    """SETTINGS, PING, PRIORITY, empty DATA and useless WINDOW_UPDATE frames: a token bucket."""
    reset_burst: float = 5_000.0
    reset_per_second: float = 1_000.0
    """Streams the peer opens and resets (rapid reset); bounds the CPU wasted on them."""
    keepalive_seconds: float = 60.0
    """Silence after which we ping."""
    keepalive_timeout_seconds: float = 20.0
    """A ping, our SETTINGS or a blocked write unanswered for this long closes the connection."""
    handshake_seconds: float = 10.0
