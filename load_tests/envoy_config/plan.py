"""What an Envoy is wanted for: where it listens, who chooses, whom it may send to. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.extproc.messages import BodyMode

# Envoy's own default. A streamed body never needs more than this in flight per connection.
STREAMING_BUFFER_BYTES = 1 << 20
# A buffered body must fit whole, or Envoy answers 413 (requests) and 500 (responses).
WHOLE_BODY_BUFFER_BYTES = 64 << 20


class Balancing(Enum):
    """Who chooses the endpoint, and how Envoy is told."""

    ORIGINAL_DST = "original-dst"  # the picker, by header; Envoy needs no list of endpoints
    OVERRIDE_HOST = "override-host"  # the picker, by metadata; Envoy checks it against its list
    ROUND_ROBIN = "round-robin"
    LEAST_REQUEST = "least-request"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @property
    def text(self) -> str:
        """``host:port``, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PickerPlan:
    """How Envoy speaks to the endpoint picker. NONE for both bodies asks by headers alone."""

    address: Address
    tls: bool = True
    """Over TLS, any certificate accepted, as gateways do it; else plaintext HTTP/2."""
    request_body: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    response_body: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    failure_mode_allow: bool = False
    """Fail open: without the picker, the cluster's own policy chooses."""
    message_timeout_s: float = 300.0
    trailers: bool | None = None
    """Send trailers; None sends them where FULL_DUPLEX_STREAMED requires it."""
    health_check: bool = False
    subset_test_headers: bool = False
    """Turn the two test headers into the subset hint. Never outside tests: clients could steer."""


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    """One Envoy: where it listens, who chooses, whom it may send to."""

    listen: Address
    admin: Address
    balancing: Balancing
    endpoints: tuple[Address, ...] = ()
    """Needed by all but ORIGINAL_DST."""
    picker: PickerPlan | None = None
    strip_destination: bool = True
    """Drop what a client says about the destination, before any filter: with a picker that fails
    open, ORIGINAL_DST would otherwise connect to wherever the client likes."""
    retries: int = 1
    """After a connection that failed before the request was sent; walks a list of endpoints."""
    access_log: str | None = None
    http1_trailers: bool = False
    """Pass trailers of HTTP/1 on, which Envoy drops by default."""
    buffer_limit_bytes: int | None = None
    """Per connection; None takes what the body modes need."""

    def __post_init__(self) -> None:
        picked = self.balancing in (Balancing.ORIGINAL_DST, Balancing.OVERRIDE_HOST)
        if picked != (self.picker is not None):
            raise ValueError(f"{self.balancing.value} {'needs a' if picked else 'takes no'} picker")
        if self.balancing is not Balancing.ORIGINAL_DST and not self.endpoints:
            raise ValueError(f"{self.balancing.value} needs endpoints")

    @property
    def connection_buffer_bytes(self) -> int:
        """``buffer_limit_bytes``, or what the body modes need."""
        if self.buffer_limit_bytes is not None:
            return self.buffer_limit_bytes
        whole = (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL)
        modes = (self.picker.request_body, self.picker.response_body) if self.picker else ()
        return WHOLE_BODY_BUFFER_BYTES if any(m in whole for m in modes) else STREAMING_BUFFER_BYTES
