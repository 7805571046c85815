"""A policy whose scheduler is also measured: its prefix matches always, its plugins now and then.

Counts how much of each prompt its endpoint is believed to hold. Of one request in some it tells
what each plugin took, and how large the prefix indexes are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from gateway.datalayer.state import Endpoint
from gateway.director.policy import Policy, Scheduler
from gateway.scheduling.failures import Timed
from gateway.scheduling.instances import NamedPlugin
from gateway.scheduling.types import Cycle, Decision, PrefixHolder

PRODUCER = "approx-prefix-cache-producer"
BYTES_PER_TOKEN = 4
"""As everywhere a prompt's tokens are estimated from its bytes."""

TIMED_EVERY = 32
"""Requests of which one has its plugins timed. Timing all costs 9 us each (measured); the
histogram's shape needs far fewer."""

POINTS: Mapping[str, str] = MappingProxyType(
    {
        "produce": "DataProducer",
        "filter": "Filter",
        "score": "Scorer",
        "pick": "Picker",
        "picked": "PreRequest",
        "served": "ResponseReceived",
        "response-headers": "ResponseReceived",
    }
)
"""Our word for an extension point -> the reference's, which dashboards know."""


class Observed(Protocol):
    """Where the durations of one plugin go."""

    def observe(self, value: float) -> None: ...


class PluginCounts(Protocol):
    """Who counts: the gateway's metrics."""

    def prefix_matched(
        self, plugin_name: str, plugin_type: str, matched_bytes: int, total_bytes: int
    ) -> None: ...

    def prefix_indexed(self, plugin_name: str, plugin_type: str, blocks: int) -> None: ...

    def plugin(self, extension_point: str, plugin_type: str, plugin_name: str) -> Observed: ...


class MeasuredPlugins:
    """What the plugins of one configuration take and hold, told to ``counts``."""

    def __init__(
        self, plugins: Sequence[NamedPlugin], counts: PluginCounts, now: Callable[[], float]
    ) -> None:
        self.now = now
        self._counts = counts
        self._by_plugin = {id(known.plugin): known for known in plugins}
        self._holders = [
            (known, known.plugin) for known in plugins if isinstance(known.plugin, PrefixHolder)
        ]

    def took(self, plugin: object, point: str, seconds: float) -> None:
        """``plugin`` took ``seconds`` at ``point``; the scheduler itself is not one."""
        known = self._by_plugin.get(id(plugin))
        if known is not None:
            name = POINTS.get(point, point)
            self._counts.plugin(name, known.type, known.name).observe(seconds)

    def sized(self) -> None:
        """Tell how many blocks each prefix index holds."""
        for known, holder in self._holders:
            self._counts.prefix_indexed(known.name, known.type, holder.blocks_held)


class MeasuredScheduler:
    """``Scheduler`` around another one."""

    def __init__(
        self, scheduler: Scheduler, counts: PluginCounts, plugins: MeasuredPlugins
    ) -> None:
        self._scheduler = scheduler
        self._counts = counts
        self._plugins = plugins
        self._untimed = 0
        # As they are, with no call between.
        self.picked = scheduler.picked
        self.served = scheduler.served
        self.response_headers = scheduler.response_headers

    def schedule(self, cycle: Cycle, endpoints: tuple[Endpoint, ...]) -> Decision:
        """As the scheduler's."""
        self._untimed -= 1
        if self._untimed < 0:
            self._untimed = TIMED_EVERY - 1
            cycle.failures = Timed(cycle.failures, self._plugins.now, self._plugins.took)
            self._plugins.sized()
        decision = self._scheduler.schedule(cycle, endpoints)
        slot = decision.endpoints[0].slot
        for name, match in cycle.prefixes.items():
            block_bytes = match.block_tokens * BYTES_PER_TOKEN
            matched = int(match.matched_blocks[slot]) * block_bytes
            self._counts.prefix_matched(name, PRODUCER, matched, match.total_blocks * block_bytes)
        return decision


class Configured(Policy, Protocol):
    """A policy that says which plugins it is made of (``gateway.scheduling.build.Built``)."""

    @property
    def plugins(self) -> Sequence[NamedPlugin]: ...


class MeasuredPolicy:
    """``Policy`` with a measured scheduler."""

    def __init__(self, policy: Configured, counts: PluginCounts, now: Callable[[], float]) -> None:
        """``now`` is a clock for durations, in seconds."""
        plugins = MeasuredPlugins(policy.plugins, counts, now)
        self.scheduler: Scheduler = MeasuredScheduler(policy.scheduler, counts, plugins)
        self.saturation = policy.saturation
        self.response_processing = policy.response_processing
