"""Who may ask: two authorities, a certificate for each user, and kubeconfigs.

What each of them may do is RBAC's, in the API server.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.pki import Authority, KeyPair


class Identities:
    """The users of one API server, made when first asked for; files in ``folder``."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self.client_ca = Authority(folder / "pki" / "client", "client")
        self.front_proxy_ca = Authority(folder / "pki" / "front-proxy", "front-proxy")
        self._pairs: dict[tuple[str, tuple[str, ...]], KeyPair] = {}

    def pair(self, user: str, groups: Sequence[str]) -> KeyPair:
        """The certificate of ``user`` in ``groups``, always the same one."""
        key = (user, tuple(groups))
        if key not in self._pairs:
            self._pairs[key] = self.client_ca.leaf(user, groups=groups, file=_file(user, *groups))
        return self._pairs[key]

    def kubeconfig(self, user: str, groups: Sequence[str], namespace: str) -> Path:
        pair = self.pair(user, groups)
        credentials = {"client-certificate": str(pair.cert), "client-key": str(pair.key)}
        return self._write(_file(user, *groups, namespace), credentials, namespace)

    def kubeconfig_with_token(self, name: str, token: str, namespace: str) -> Path:
        """Of the service account ``name`` of ``namespace``, with a token that it was given."""
        return self._write(f"{namespace}-{name}.serviceaccount", {"token": token}, namespace)

    def _write(self, name: str, credentials: dict[str, str], namespace: str) -> Path:
        path = self._folder / f"{name}.kubeconfig"
        cluster = {"server": self._url, "certificate-authority": str(self.client_ca.cert)}
        context = {"cluster": "test", "user": "test", "namespace": namespace}
        document: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": credentials}],
            "contexts": [{"name": "test", "context": context}],
        }
        # There may be a token in it.
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document))
        return path


def _file(*words: str) -> str:
    return "-".join(words).replace(":", "-").replace("/", "-")
