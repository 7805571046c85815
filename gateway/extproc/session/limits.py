"""The numbers and switches of a session; one frozen value for the life of the process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds every session of this process keeps."""

    max_body_bytes: int = 64 * 1024 * 1024
    """A request body that must be held to be routed is refused (413) beyond this."""
    chunk_bytes: int = 62_000
    """Longest FULL_DUPLEX_STREAMED answer chunk. Envoy recommends at most 64 KiB; what is left
    is for the message around it."""
    conformance_echo: bool = False
    """Tell the client which endpoint served, in ``x-conformance-test-served-endpoint``. It leaks
    addresses, so only conformance runs turn it on."""
