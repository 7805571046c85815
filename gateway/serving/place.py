"""What a process is given by others: by the supervisor of several workers, or by nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from gateway.datalayer.store import Datastore
from gateway.prefix.exchange import Exchange
from gateway.serving.policy_given import Given
from gateway.serving.policy_in_force import PolicySource


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is given to this process and not made by it. By default it is the only one."""

    store: Datastore = field(default_factory=Datastore)
    exchange: Exchange | None = None
    """Where prefix producers hear from other workers."""
    collects: bool = True
    """Whether the pool's gauges are this process's to show."""
    page: Callable[[CollectorRegistry], CollectorRegistry] = lambda own: own
    """What /metrics shows, given this process's own."""
    served: Callable[[], bool] = lambda: True
    """Whether somebody takes connections; without, health is NOT_SERVING."""
    given: Given | None = None
    """The configuration to begin with; None is what the command line or its file says."""
    policy_source: PolicySource | None = None
    """Where later ones come from; None is the file."""
    policy_taken: Callable[[Given], None] = lambda given: None
    """Hears of every configuration that is in force, the first included."""
