"""Keeps the trust in callers as the cluster and the flags' files have it now. IO.

The cluster publishes its CAs and the front proxy's names in one ConfigMap, which is watched. What
cannot be read leaves what was believed before in force.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

from loadstar.clock import Clock
from loadstar.kube.client import Document, Follows
from loadstar.kube.reflector import Reflector
from loadstar.kube.resources import CONFIG_MAPS
from loadstar.tls import read
from metrics_adapter.security import trust
from metrics_adapter.security.certificate_files import follow, reread
from metrics_adapter.security.trust import Authority, ProxyHeaders, Trust

log = logging.getLogger(__name__)


class TrustSource:
    """What the cluster says, overridden by what flags name; ``believe`` hears of each change."""

    def __init__(
        self,
        *,
        client_ca_file: str,
        proxy_ca_file: str,
        headers: ProxyHeaders,
        believe: Callable[[Trust], None],
    ) -> None:
        """Reads nothing yet."""
        self._client_ca_file = client_ca_file
        self._proxy_ca_file = proxy_ca_file
        self._flags = Trust(headers=headers)
        self._cluster = Trust()
        self._believe = believe
        self.known = asyncio.Event()
        """The cluster's ConfigMap was read once."""
        self.changed_at = 0.0

    def load(self) -> None:
        """Read the files, at the start. Raises CertificateError or UnusableTrust."""
        self._flags = Trust(
            proxy=self._authority(self._proxy_ca_file, read),
            clients=self._authority(self._client_ca_file, read),
            headers=self._flags.headers,
        )
        self._tell()

    async def follow_files(self) -> None:
        """Take changed files, until cancelled."""
        if self._files():
            await follow(self._files(), self._reread, "the CAs of callers")

    async def _reread(self) -> None:
        pems = {path: await reread(path) for path in self._files()}
        try:
            self._flags = Trust(
                proxy=self._authority(self._proxy_ca_file, pems.__getitem__),
                clients=self._authority(self._client_ca_file, pems.__getitem__),
                headers=self._flags.headers,
            )
        except trust.UnusableTrust as error:
            raise ValueError(str(error)) from error
        self._tell()

    def _files(self) -> tuple[str, ...]:
        return tuple(path for path in (self._client_ca_file, self._proxy_ca_file) if path)

    def _authority(self, path: str, read: Callable[[str], bytes]) -> Authority:
        if not path:
            return Authority()
        found = trust.authority(read(path), path)
        if not found:
            raise trust.UnusableTrust(f"{path}: holds no certificate")
        return found

    async def follow_cluster(self, kube: Follows, clock: Clock, rng: random.Random) -> None:
        """Watch the cluster's ConfigMap, until cancelled."""
        reflector: Reflector[Mapping[str, str]] = Reflector(
            kube,
            CONFIG_MAPS,
            view=_entries,
            changed=lambda: self._take(reflector.objects, clock),
            clock=clock,
            rng=rng,
            namespace=trust.NAMESPACE,
            fields=f"metadata.name={trust.NAME}",
        )
        await reflector.run()

    def _take(self, found: Mapping[tuple[str, str], Mapping[str, str]], clock: Clock) -> None:
        entries = found.get((trust.NAMESPACE, trust.NAME))
        if entries is None:
            log.error(
                "there is no ConfigMap %s/%s; who was trusted stays so", trust.NAMESPACE, trust.NAME
            )
            return
        try:
            self._cluster = trust.from_config_map(entries)
        except trust.UnusableTrust as error:
            log.error("ConfigMap not taken, who was trusted stays so: %s", error)
            return
        self.changed_at = clock.wall()
        self._tell()
        self.known.set()

    def _tell(self) -> None:
        self._believe(trust.overridden(self._cluster, self._flags))


def _entries(document: Document) -> Mapping[str, str]:
    data = document.get("data") or {}
    return {str(key): str(value) for key, value in data.items()}
