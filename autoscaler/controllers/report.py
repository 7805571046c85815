"""What happened, told: metrics, one log line, an Event, a line in the ledger. Decides nothing.

Each decision carries its reason; all four say that one value.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from autoscaler.actuate.gate import Call
from autoscaler.actuate.nodepool.driver import Tick
from autoscaler.actuate.nodepool.state import Stay
from autoscaler.controllers.policy_in_force import PolicyInForce
from autoscaler.ledger.entries import Decided, Entry, Wrote
from autoscaler.metrics import Metrics
from autoscaler.policy.model import Mode
from autoscaler.sizing.decision import Reason
from loadstar.config.errors import ConfigError, in_brief
from loadstar.kube.events import EventRecorder
from loadstar.kube.objects import ObjectRef

log = logging.getLogger(__name__)

QUIET = frozenset({Reason.STEADY})
"""Reasons that are no news however often they recur."""
WARNINGS = frozenset(
    {Reason.STALE, Reason.QUOTA, Reason.BUDGET, Reason.STOCKOUT, Reason.CAP, Reason.MANUAL}
)
MOST_ENTRIES = 4_096
"""Ledger lines that may wait while the disk does not answer."""


class Report:
    """Shared by the loop and by what acts."""

    def __init__(self, metrics: Metrics, events: EventRecorder | None) -> None:
        self.metrics = metrics
        self.entries: list[Entry] = []
        """For the ledger; the loop writes and empties it."""
        self._events = events
        self._said: dict[str, tuple[Reason, int]] = {}

    def decided(self, decided: Decided, about: ObjectRef | None, seconds: float) -> None:
        """One decision."""
        seen, decision = decided.seen, decided.decision
        metrics, model = self.metrics, seen.model
        metrics.decision_seconds.labels().observe(seconds)
        metrics.decisions.labels(model, decision.reason.value).inc()
        for pool, replicas in decision.replicas.items():
            metrics.desired.labels(model, pool).set(replicas)
        for pool, supply in seen.supply.items():
            metrics.ready.labels(model, pool).set(supply.replicas_ready)
            metrics.starting.labels(model, pool).set(supply.replicas_starting)
        if seen.demand.arrivals_rps is None:
            metrics.demand.drop(model)
        else:
            metrics.demand.labels(model).set(seen.demand.arrivals_rps)
        for name, value in decision.inputs.items():
            metrics.figures.labels(model, name).set(value)
        self._entry(decided)
        news = (decision.reason, decision.total())
        if self._said.get(model) == news or decision.reason in QUIET:
            self._said[model] = news
            return
        self._said[model] = news
        text = decision.text or f"{decision.total()} replicas of {model}"
        log.info(
            text,
            extra={
                "model": model,
                "reason": decision.reason.value,
                "replicas": dict(decision.replicas),
                "mode": decided.mode,
            },
        )
        if about is not None and decided.leads:
            warns = decision.reason in WARNINGS
            self.event(about, decision.reason.value, text, warns=warns)

    def event(self, about: ObjectRef, reason: str, text: str, *, warns: bool) -> None:
        """An Event, where there is a cluster to hold it."""
        if self._events is not None:
            self._events.record(about, "Warning" if warns else "Normal", reason, text)

    def policy_refused(self, about: ObjectRef, why: ConfigError) -> None:
        """On the ConfigMap ``about``: its text is no policy; what is in force stays."""
        self.event(about, "PolicyRefused", in_brief(why.problems), warns=True)

    def pool(self, name: str, tick: Tick, at_s: float, about: ObjectRef | None) -> None:
        """One look at a node pool."""
        step = tick.step
        word = step.why.value if isinstance(step, Stay) else type(step).__name__
        self.metrics.pool_state.labels(name, word).inc()
        if tick.reading is not None:
            self.metrics.pool_units.labels(name, "ready_nodes").set(tick.reading.ready_nodes)
            self.metrics.pool_units.labels(name, "target_nodes").set(tick.reading.target_nodes)
        for each in tick.happened:
            self.metrics.pool_events.labels(name, each.what.value).inc()
            log.warning(each.text, extra={"pool": name, "event": each.what.value})
            if about is not None:
                self.event(about, each.what.value, f"pool {name}: {each.text}", warns=True)
        if tick.call is not None and tick.refusal:
            self.wrote(tick.call, at_s, pool=name, outcome=tick.refusal)

    def wrote(
        self, call: Call, at_s: float, *, model: str = "", pool: str = "", outcome: str
    ) -> None:
        """One write, or one that was kept back or refused."""
        word = outcome.partition(":")[0]
        self.metrics.writes.labels(call.api, call.method, word).inc()
        self._entry(
            Wrote(
                at_s=at_s,
                model=model,
                pool=pool,
                api=call.api,
                method=call.method,
                target=call.target,
                body=dict(call.body),
                outcome=outcome,
            )
        )

    def failed(self, part: str, error: Exception) -> None:
        """A tick that did not come to its end; the next one tries again."""
        self.metrics.errors.labels(part).inc()
        log.warning("%s: %s: %s", part, type(error).__name__, error)

    def state(self, force: PolicyInForce, *, leads: bool, cost: float) -> None:
        """What holds now."""
        metrics = self.metrics
        for mode in Mode:
            metrics.mode.labels(mode.value).set(1.0 if force.mode is mode else 0.0)
        metrics.leader.labels().set(1.0 if leads else 0.0)
        metrics.cost.labels().set(cost)
        metrics.held.labels().set(1.0 if force.problem else 0.0)
        metrics.reloads.labels("taken").value = float(force.accepted)
        metrics.reloads.labels("refused").value = float(force.refused)

    def lead_times(self, known: Mapping[tuple[str, str], float]) -> None:
        for (pool, path), seconds in known.items():
            self.metrics.lead_time.labels(pool, path).set(seconds)

    def _entry(self, entry: Entry) -> None:
        if len(self.entries) < MOST_ENTRIES:
            self.entries.append(entry)
        else:
            self.metrics.ledger_errors.labels().inc()
