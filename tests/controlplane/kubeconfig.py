"""Kubeconfig files: who is asking, with a client certificate or a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.pki import KeyPair


def with_certificate(path: Path, server: str, ca: Path, pair: KeyPair, namespace: str) -> Path:
    user = {"client-certificate": str(pair.cert), "client-key": str(pair.key)}
    return _write(path, server, ca, user, namespace)


def with_token(path: Path, server: str, ca: Path, token: str, namespace: str) -> Path:
    return _write(path, server, ca, {"token": token}, namespace)


def _write(path: Path, server: str, ca: Path, user: dict[str, str], namespace: str) -> Path:
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {"name": "test", "cluster": {"server": server, "certificate-authority": str(ca)}}
        ],
        "users": [{"name": "test", "user": user}],
        "contexts": [
            {
                "name": "test",
                "context": {"cluster": "test", "user": "test", "namespace": namespace},
            }
        ],
    }
    # A token is in it.
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path
