"""Demand, as long as enough replicas report: below the policy's share, what there is is not known.

A replica that says nothing may be full, or gone in all but name. While too many are silent the
model is held as it is: its demand is withheld, so that the decision is made, recorded and told as
one without it. Wraps what the loop asks; no IO but a log line when it begins and ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from autoscaler.observe.cluster import Cluster
from autoscaler.observe.feed_demand import FeedDemand
from autoscaler.observe.observation import Demand
from autoscaler.observe.replica_loads import Reporting, by_pod, reporting
from autoscaler.policy.model import ModelPolicy, Policy

log = logging.getLogger(__name__)


class SaysDemand(Protocol):
    """A source of demand."""

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        """What came in lately for ``model``."""
        ...


class WhereEnoughReport:
    """The demand of ``source`` while enough replicas report, none otherwise."""

    def __init__(
        self,
        source: SaysDemand,
        *,
        feed: FeedDemand,
        cluster: Callable[[], Cluster | None],
        policy: Callable[[], Policy | None],
    ) -> None:
        self._source = source
        self._feed = feed
        self._cluster = cluster
        self._policy = policy
        self._short: set[str] = set()

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        """As ``source`` says. ``now_s`` in Unix seconds."""
        said = self._source.demand(model, now_s)
        cluster, policy = self._cluster(), self._policy()
        if cluster is None or policy is None:
            return said  # without a supply there is no decision at all
        found = reporting(
            cluster,
            model,
            by_pod(self._feed.loads(now_s)),
            now_s=now_s,
            stale_after_s=policy.safety.stale_after_s,
        )
        if found is None or found.share >= policy.safety.min_reporting:
            self._enough(model.name)
            return said
        self._too_few(model.name, found, policy.safety.min_reporting)
        return Demand(window_s=said.window_s, arrivals_rps=None)

    def _too_few(self, model: str, found: Reporting, least: float) -> None:
        if model not in self._short:
            self._short.add(model)
            log.warning(
                "%d of %d replicas report, fewer than %g %%: held",
                *(found.replicas, found.due, 100.0 * least),
                extra={"model": model},
            )

    def _enough(self, model: str) -> None:
        if model in self._short:
            self._short.discard(model)
            log.info("enough replicas report again", extra={"model": model})
