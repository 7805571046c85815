"""What a process is given by others: by the supervisor of several workers, or by nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry

from gateway.datalayer.store import Datastore
from gateway.metrics import Metrics
from gateway.metrics.families import GatewayFamilies
from gateway.prefix.exchange import Exchange
from gateway.serving.policy_given import Given
from gateway.serving.policy_in_force import PolicySource


class Page(Protocol):
    """The metrics of several processes as one."""

    registry: CollectorRegistry
    """What /metrics shows."""

    def counted(self) -> GatewayFamilies:
        """The sum of what they count. Waits for them: to be called in a thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is given to this process and not made by it. By default it is the only one."""

    store: Datastore = field(default_factory=Datastore)
    exchange: Exchange | None = None
    """Where prefix producers hear from other workers."""
    collects: bool = True
    """Whether the pool's gauges are this process's to show."""
    page: Callable[[Metrics], Page] | None = None
    """What all processes count, given this one's metrics; None where it is the only one."""
    served: Callable[[], bool] = lambda: True
    """Whether somebody takes connections; without, health is NOT_SERVING."""
    bodies_bytes: int | None = None
    """Memory for bodies that wait for their route; None is that for one of the longest."""
    given: Given | None = None
    """The configuration to begin with; None is what the command line or its file says."""
    policy_source: PolicySource | None = None
    """Where later ones come from; None is the file."""
    policy_taken: Callable[[Given], None] = lambda given: None
    """Hears of every configuration that is in force, the first included."""
