"""A key pair as grpcio's servers take it, renewed for those whose files change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from loadstar.tls import KeyPair


def credentials(pair: Callable[[], KeyPair], *, reloads: bool) -> Any:
    """Credentials that serve ``pair()``; asked again at each handshake if it ``reloads``."""
    if not reloads:
        return grpc.ssl_server_credentials([(pair().key, pair().certificate)])
    served = pair()

    def renewed() -> Any:
        """Called by grpcio at each handshake, on its own thread: only compares and hands over."""
        nonlocal served
        current = pair()
        if current is served:
            return None
        served = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(_configuration(served), renewed)


def _configuration(pair: KeyPair) -> Any:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)])
