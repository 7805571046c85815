"""What is wanted, told to whoever subscribes: the metrics adapter, so that an HPA can follow us.

The same SignalFeed that gateways publish on. Told whether or not anything is written: in advisory
mode it is what would be done.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from autoscaler.controllers.wanted import TargetKey
from autoscaler.sizing.decision import Decision
from loadstar import tls
from loadstar.aio.beside import beside
from loadstar.clock import Clock
from loadstar.feed.publish import Publisher
from loadstar.signals.model import Desired, Snapshot
from loadstar.tls_grpc import credentials

HORIZON = "horizon_s"


class Wishes:
    """The latest wishes; ``snapshot`` is what a publisher streams."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._publisher = f"autoscaler-{os.uname().nodename}-{uuid.uuid4().hex[:8]}"
        self._started_at_s = clock.wall()
        self._desired: tuple[Desired, ...] = ()

    def set(self, targets: Mapping[TargetKey, int], decisions: Mapping[str, Decision]) -> None:
        """From now on these are wanted."""
        self._desired = tuple(
            _desired(key, replicas, decisions[key.model])
            for key, replicas in targets.items()
            if key.model in decisions
        )

    async def snapshot(self) -> Snapshot:
        return Snapshot(
            publisher=self._publisher,
            started_at=self._started_at_s,
            observed_at=self._clock.wall(),
            desired=self._desired,
        )


def _desired(key: TargetKey, replicas: int, decision: Decision) -> Desired:
    kind, namespace, name = key.id
    return Desired(
        namespace=namespace,
        kind=kind,
        name=name,
        model=key.model,
        replicas=float(replicas),
        horizon_seconds=decision.inputs.get(HORIZON),
        reason=decision.reason.value,
    )


@asynccontextmanager
async def publishing(
    wishes: Wishes, clock: Clock, *, host: str, port: int, cert_dir: str, token_file: str
) -> AsyncIterator[int]:
    """Stream ``wishes`` while inside, over TLS; gives the port.

    The certificate of ``cert_dir`` is renewed as its files are; without one it is one that we make.
    Raises CannotPublish or CertificateError.
    """
    if cert_dir:
        pair = await asyncio.to_thread(tls.load, cert_dir)
    else:
        pair = await asyncio.to_thread(tls.self_signed, clock.wall())
    certificate = tls.ReloadingPair(cert_dir, pair, lambda _ok: None)
    token = await asyncio.to_thread(Path(token_file).read_text) if token_file else ""
    publisher = Publisher(wishes.snapshot, token=token.strip)
    served = credentials(lambda: certificate.current, reloads=bool(cert_dir))
    bound = await publisher.start(host, port, served)
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(beside(publisher.run(), name="publish"))
            if cert_dir:
                await stack.enter_async_context(beside(certificate.run(), name="certificate"))
            yield bound
    finally:
        await publisher.stop()
