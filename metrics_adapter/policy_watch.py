"""Follows the ConfigMap of ``--config-map`` through the Kubernetes API. IO.

A change is in force within a second, where kubelet takes a minute or two to bring a mounted file.
A bad one changes nothing and is said where the operator looks: as an Event on the ConfigMap. An
adapter that starts over a bad one serves the built-in table without sources: autoscalers hold, and
namespaces can be deleted, for which a cluster without any adapter waits.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, Protocol

from loadstar.clock import Clock
from loadstar.config.errors import ConfigError, in_brief
from loadstar.kube.client import Follows
from loadstar.kube.config_map import ConfigMapRef, Seen
from loadstar.kube.events import EventRecorder, Kind, Writes
from loadstar.kube.reflector import Reflector
from loadstar.kube.resources import CONFIG_MAPS
from metrics_adapter.adapter_config import AdapterConfig, parse_config
from metrics_adapter.metrics import Metrics

COMPONENT: Final = "loadstar-metrics-adapter"
MISSING: Final = "there is no such ConfigMap, or none that may be read"

log = logging.getLogger(__name__)


class Kube(Follows, Writes, Protocol):
    """The calls to the API server that are made here."""


class PolicyWatch:
    """A ConfigMap as the source of configurations; ``run`` it once."""

    def __init__(
        self,
        ref: ConfigMapRef,
        kube: Kube,
        first: AdapterConfig,
        use: Callable[[AdapterConfig], None],
        metrics: Metrics,
        *,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """``first`` is in force now; ``use`` puts another in force, or raises ConfigError."""
        self._ref = ref
        self._in_force = first
        self._use = use
        self._metrics = metrics
        self._changed = asyncio.Event()
        self._events = EventRecorder(kube, clock, component=COMPONENT)
        self._reflector = Reflector(
            kube,
            CONFIG_MAPS,
            view=ref.seen,
            changed=self._changed.set,
            clock=clock,
            rng=rng,
            namespace=ref.namespace,
            fields=f"metadata.name={ref.name}",
            optional=True,  # without the right to read it there is an adapter all the same
        )
        self._about = ref.about()
        self.looked = False
        """Whether the ConfigMap was asked for once, and taken or refused."""
        self.problem: ConfigError | None = None
        """Why the newest text is not in force."""

    async def run(self) -> None:
        """Take changes as they come, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reflector.run(), name="ConfigMap")
            tasks.create_task(self._events.run(), name="Events")
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._take(self._reflector.objects.get((self._ref.namespace, self._ref.name)))
                self.looked = True

    async def _take(self, seen: Seen | None) -> None:
        try:
            if seen is None:
                raise ConfigError.of("", MISSING)
            self._about = seen.about
            if seen.wrong is not None:
                raise seen.wrong
            config = await asyncio.to_thread(parse_config, seen.text)
            if config != self._in_force:
                self._use(config)
                self._in_force = config
                self._metrics.reloaded("config", ok=True)
                log.info("configuration taken", extra={"from": f"ConfigMap {self._ref}"})
        except ConfigError as error:
            self._refuse(error)
        else:
            if self.problem is not None:
                self.problem = None
                self._say("Normal", "ConfigurationTaken", "taken")

    def _refuse(self, error: ConfigError) -> None:
        if self.problem is not None and self.problem.problems == error.problems:
            return  # somebody touched a label of it
        self.problem = error
        self._metrics.reloaded("config", ok=False)
        for problem in error.problems:
            log.error("ConfigMap %s not taken, what is in force stays: %s", self._ref, problem)
        message = f"not taken, what is in force stays: {in_brief(error.problems)}"
        self._say("Warning", "ConfigurationRefused", message)

    def _say(self, kind: Kind, reason: str, message: str) -> None:
        self._events.record(self._about, kind, reason, message)
