"""A serving certificate that needs nobody: signed by our own CA, which the API server is told of.

Every replica runs this against one Secret and its APIServices; ``signing`` decides, the Secret's
resourceVersion settles who was first. It writes APIServices that point at our own Service only.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from loadstar.clock import Clock
from loadstar.kube.errors import ApiError, Conflict, NotFound
from loadstar.kube.resources import API_SERVICES, SECRETS, Resource
from loadstar.tls import KeyPair
from metrics_adapter.security import signing
from metrics_adapter.security.signing import Authorities

log = logging.getLogger(__name__)

TICK_SECONDS = 15.0
"""Between two looks at the Secret and the APIServices."""
TICK_SHARE = 0.01
"""Of a CA's life, where that is less."""
SOON_SECONDS = 1.0
"""While an APIService is not there yet: once it is, a cluster waits for us."""
RETRY_SECONDS = 1.0
CONFLICTS = 5


class Kube(Protocol):
    """The calls it makes; ``loadstar.kube.client.KubeClient`` has them. Raise ApiError."""

    async def get(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any]: ...

    async def replace(self, resource: Resource, document: dict[str, Any]) -> dict[str, Any]: ...

    async def patch(
        self, resource: Resource, name: str, namespace: str, change: object
    ) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Names:
    """Where things are."""

    secret: tuple[str, str]
    """Namespace and name; the Secret exists, empty at first."""
    service: tuple[str, str]
    """Namespace and name of the Service that the APIServices point at: the certificate's name."""
    api_services: tuple[str, ...]

    @property
    def dns(self) -> tuple[str, ...]:
        namespace, name = self.service
        return (f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local")


class Managed:
    """Keeps ``serve`` supplied with a certificate that ``names.api_services`` vouch for."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        names: Names,
        *,
        authority_seconds: float,
        certificate_seconds: float,
        serve: Callable[[KeyPair], None],
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._names = names
        self._authority_seconds = authority_seconds
        self._certificate_seconds = certificate_seconds
        self._serve = serve
        self._signed_by = b""
        self._renew_at = 0.0
        self._missing = False
        self._published = b""
        """The bundle that the APIServices were last seen to have."""
        self.ready = asyncio.Event()
        """A certificate of the Secret's CA is being served."""

    async def run(self) -> None:
        """Look, decide, write; until cancelled."""
        said = ""
        while True:
            try:
                authorities = await self.step()
                said = ""
                await asyncio.sleep(self._pause(authorities.current.life_seconds))
            except (ApiError, ValueError) as error:
                if str(error) != said:
                    said = str(error)
                    log.error("serving certificate as it was: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    def _pause(self, life_seconds: float) -> float:
        """Until the next look; ``life_seconds`` is that of the authority in use."""
        usual = min(TICK_SECONDS, TICK_SHARE * life_seconds)
        return min(usual, SOON_SECONDS) if self._missing else usual

    async def step(self) -> Authorities:
        """One round; what is in force. Raises ApiError, ValueError for a Secret that is no good."""
        authorities = await self._agreed()
        # Served before it is published: at the very start there is nothing better to show, and
        # later nothing signs that was not published long ago.
        await self._issue(authorities)
        await self._publish(authorities.bundle)
        self._published = authorities.bundle
        return authorities

    async def _agreed(self) -> Authorities:
        """What the Secret holds after whoever was first has written it."""
        namespace, name = self._names.secret
        for _ in range(CONFLICTS):
            secret = await self._kube.get(SECRETS, name, namespace)
            have = signing.read(_decoded(secret.get("data") or {}))
            want = await asyncio.to_thread(
                signing.plan,
                have,
                self._clock.wall(),
                self._authority_seconds,
                published=have is not None and have.bundle == self._published,
            )
            if want is have:
                return want
            written = {**secret, "data": _encoded(signing.write(want))}
            try:
                await self._kube.replace(SECRETS, written)
            except Conflict:
                continue
            log.info("certificate authority written", extra={"secret": f"{namespace}/{name}"})
            return want
        raise ValueError(f"Secret {namespace}/{name} changes all the time")

    async def _issue(self, authorities: Authorities) -> None:
        signer, wall = authorities.current, self._clock.wall()
        if signer.certificate == self._signed_by and wall < self._renew_at:
            return
        pair = await asyncio.to_thread(
            signing.issue, signer, self._names.dns, wall, self._certificate_seconds
        )
        self._serve(pair)
        self._signed_by = signer.certificate
        life = min(self._certificate_seconds, signer.not_after - wall)
        self._renew_at = wall + signing.RENEW_SHARE * life
        self.ready.set()
        log.info("certificate renewed, valid until %s", pair.not_after.isoformat())

    async def _publish(self, bundle: bytes) -> None:
        wanted = base64.b64encode(bundle).decode()
        self._missing = False
        for name in self._names.api_services:
            try:
                found = await self._kube.get(API_SERVICES, name)
            except NotFound:
                self._missing = True  # nobody comes through it
                continue
            spec = found.get("spec") or {}
            service = spec.get("service") or {}
            if (service.get("namespace"), service.get("name")) != self._names.service:
                log.warning("APIService %s is another's: its caBundle is left alone", name)
                continue
            if spec.get("caBundle") == wanted and not spec.get("insecureSkipTLSVerify"):
                continue
            change = {
                # Only if nobody has pointed it elsewhere meanwhile.
                "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
                "spec": {"caBundle": wanted, "insecureSkipTLSVerify": None},
            }
            await self._kube.patch(API_SERVICES, name, "", change)
            log.info("caBundle published", extra={"apiservice": name})


def _decoded(data: Mapping[str, str]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in data.items()}


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}
