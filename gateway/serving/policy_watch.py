"""Follows a ConfigMap through the Kubernetes API: ``--config-map``.

A change reaches us as the watch says it, some milliseconds after it was written. While the API
server is away what is in force stays; so it does when the ConfigMap is deleted, and that is said.
Refusals are said where the operator looks: as an Event on the ConfigMap.

A process that starts over a ConfigMap that cannot be used serves with a fallback where there is
one: else each pod that is lost under a mistake that the others have long survived, and each that
an autoscaler adds, would be missing until somebody mends it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from gateway.config.flags import Flags
from gateway.serving.policy_given import Given, Origin, Refusal, fallback_of, given_at
from gateway.serving.policy_in_force import PolicyInForce, Unusable
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError, in_brief
from loadstar.kube.client import Follows, KubeClient
from loadstar.kube.config_map import ConfigMapRef, Seen
from loadstar.kube.credentials import Credentials
from loadstar.kube.errors import ApiError, NotFound
from loadstar.kube.events import EventRecorder, Kind, Writes
from loadstar.kube.objects import ObjectRef
from loadstar.kube.reflector import Reflector
from loadstar.kube.resources import CONFIG_MAPS, Resource

START_SECONDS = 20.0
"""How long to wait at the start for an API server, a ConfigMap or a right that comes just after
us. Then a fallback serves if only the ConfigMap is missing; else the process ends with the reason,
and kubelet tries again."""
RETRY_SECONDS = 0.5
TOLD_SECONDS = 1.0
"""For the last word of a process that ends."""
COMPONENT = "loadstar-gateway"

log = logging.getLogger(__name__)


class Kube(Follows, Writes, Protocol):
    """The calls to the API server that are made here."""

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> dict[str, Any]: ...


class Connects(Protocol):
    """Opens a client."""

    def __call__(self) -> AbstractAsyncContextManager[Kube]: ...


def connecting(flags: Flags, environment: Mapping[str, str], clock: Clock) -> Connects:
    """Clients of the API server that the flags and the pod's account say."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Kube]:
        credentials = Credentials(flags.kubeconfig, environment=environment)
        async with KubeClient(credentials, clock, user_agent=COMPONENT) as kube:
            yield kube

    return connect


def watching(flags: Flags, environment: Mapping[str, str], clock: Clock) -> PolicyWatch | None:
    """The source that ``--config-map`` names; None where it is not given."""
    if not flags.config_map:
        return None
    ref = ConfigMapRef.parse(flags.config_map)
    connect = connecting(flags, environment, clock)
    return PolicyWatch(
        ref, connect, clock=clock, rng=random.Random(flags.seed), fallback=fallback_of(flags)
    )


def origin(ref: ConfigMapRef, resource_version: str = "") -> Origin:
    """How the place is called in logs, Events and on /configz."""
    return Origin(f"ConfigMap {ref}", resource_version)


class PolicyWatch:
    """A ConfigMap as a source of configurations."""

    def __init__(
        self,
        ref: ConfigMapRef,
        connect: Connects,
        *,
        clock: Clock,
        rng: random.Random,
        fallback: Given | None = None,
    ) -> None:
        self.fallback = fallback
        """What to begin with where the ConfigMap cannot be used; None is not to begin."""
        self._ref = ref
        self._connect = connect
        self._clock = clock
        self._rng = rng

    async def first(self) -> Given:
        """What it says now, or the fallback if it says nothing.

        Raises ConfigError without one, or if the API server does not answer for long.
        """
        ref = self._ref
        until, said = self._clock.now() + START_SECONDS, ""
        async with self._connect() as kube:
            while True:
                try:
                    seen = ref.seen(await kube.get(CONFIG_MAPS, ref.name, ref.namespace))
                    return _given(ref, seen)
                except ConfigError:
                    if self.fallback is None:
                        raise
                    return self.fallback  # ``run`` refuses it, and says why
                except ApiError as error:
                    if self._clock.now() >= until:
                        if isinstance(error, NotFound) and self.fallback is not None:
                            return self.fallback
                        raise ConfigError.of(f"ConfigMap {ref}", str(error)) from error
                    if str(error) != said:
                        said = str(error)
                        log.warning("waiting for ConfigMap %s: %s", ref, said)
                await asyncio.sleep(RETRY_SECONDS)

    async def tell(self, error: Unusable) -> None:
        """Say on the ConfigMap why this process ends before it has served. Raises nothing."""
        about = self._ref.about()
        refusal = Refusal(self._clock.wall(), origin(self._ref), error.problems)
        async with self._connect() as kube, asyncio.TaskGroup() as tasks:
            events = EventRecorder(kube, self._clock, component=COMPONENT)
            sending = tasks.create_task(events.run(), name="Events")
            events.record(about, "Warning", "ConfigurationRefused", told(refusal, None))
            await asyncio.sleep(TOLD_SECONDS)
            sending.cancel()

    async def run(self, policy: PolicyInForce) -> None:
        """Take changes as they come, until cancelled."""
        ref, changed = self._ref, asyncio.Event()
        async with self._connect() as kube, asyncio.TaskGroup() as tasks:
            events = EventRecorder(kube, self._clock, component=COMPONENT)
            reflector = Reflector(
                kube,
                CONFIG_MAPS,
                view=ref.seen,
                changed=changed.set,
                clock=self._clock,
                rng=self._rng,
                namespace=ref.namespace,
                fields=f"metadata.name={ref.name}",
            )
            tasks.create_task(reflector.run(), name="ConfigMap")
            tasks.create_task(events.run(), name="Events")
            about = ref.about()
            said: Refusal | None = None
            while True:
                await changed.wait()
                changed.clear()
                seen = reflector.objects.get((ref.namespace, ref.name))
                about = about if seen is None else seen.about
                stood = policy.standing
                await self._take(policy, seen)
                self._say(events, about, policy, said, stood)
                said = policy.refusal

    async def _take(self, policy: PolicyInForce, seen: Seen | None) -> None:
        if seen is None:
            policy.refuse(origin(self._ref), ConfigError.of("", "there is no such ConfigMap"))
            return
        try:
            given = _given(self._ref, seen)
        except ConfigError as error:
            policy.refuse(origin(self._ref, seen.resource_version), error)
        else:
            await policy.take(given)

    def _say(
        self,
        events: EventRecorder,
        about: ObjectRef,
        policy: PolicyInForce,
        said: Refusal | None,
        stood: bool,
    ) -> None:
        """Tell of a refusal that was not ``said``, and of the good version that ends one."""
        kind: Kind
        if policy.standing and policy.refusal is not said:
            kind, reason = "Warning", "ConfigurationRefused"
            assert policy.refusal is not None  # there is one that stands
            message = told(policy.refusal, policy.given)
        elif stood and not policy.standing:
            kind, reason = "Normal", "ConfigurationTaken"
            message = f"taken; sha256 {policy.given.sha256}"
        else:
            return
        events.record(about, kind, reason, message)


def told(refusal: Refusal, in_force: Given | None) -> str:
    """A refusal in the words of an Event. The same for the same mistake, so that it is counted."""
    if in_force is None:
        instead = "a start is given up"
    elif in_force.text:
        instead = f"{in_force.sha256} stays in force"
    else:
        instead = f"the {in_force.origin} is in force"
    return f"not taken, {instead}: {in_brief(refusal.problems)}"


def _given(ref: ConfigMapRef, seen: Seen) -> Given:
    """Its text. Raises ConfigError if it has none."""
    if seen.wrong is not None:
        raise seen.wrong
    return given_at(origin(ref, seen.resource_version), seen.text)
