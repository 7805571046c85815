"""Every metric the autoscaler exports, once. Values are set by ``controllers.report``."""

from __future__ import annotations

from loadstar.telemetry.metrics import Families

DECISION_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PREFIX = "loadstar_autoscaler_"


class Metrics(Families):
    """The families, as attributes."""

    def __init__(self) -> None:
        super().__init__()
        p = PREFIX
        self.desired = self.gauge(f"{p}desired_replicas", "Replicas wanted now.", "model", "pool")
        self.ready = self.gauge(f"{p}ready_replicas", "Replicas that serve.", "model", "pool")
        self.starting = self.gauge(
            f"{p}starting_replicas", "Replicas asked for and not ready.", "model", "pool"
        )
        self.demand = self.gauge(
            f"{p}demand_requests_per_second", "Arrivals; absent while not known.", "model"
        )
        self.decisions = self.counter(
            f"{p}decisions_total", "Decisions, by why they were made.", "model", "reason"
        )
        self.figures = self.gauge(
            f"{p}decision_figure",
            "What the last decision was made from, by name with its unit.",
            "model",
            "figure",
        )
        self.decision_seconds = self.histogram(
            f"{p}decision_seconds", "How long a decision took.", buckets=DECISION_SECONDS
        )
        self.pool_units = self.gauge(
            f"{p}pool_units", "Units of a pool: wanted, or ready.", "pool", "state"
        )
        self.pool_state = self.counter(
            f"{p}pool_steps_total",
            "Looks at a pool, by what was done or why nothing.",
            "pool",
            "step",
        )
        self.pool_events = self.counter(
            f"{p}pool_events_total", "What happened to a pool.", "pool", "event"
        )
        self.stockout = self.gauge(
            f"{p}stockout_open", "1 while a pool is left alone for want of capacity.", "pool"
        )
        self.quota = self.gauge(
            f"{p}quota_units", "The bound that a refusal taught; absent while none.", "pool"
        )
        self.writes = self.counter(
            f"{p}writes_total", "Writes, by what became of them.", "api", "method", "outcome"
        )
        self.lead_time = self.gauge(
            f"{p}lead_time_seconds", "90th percentile as seen, per pool and path.", "pool", "path"
        )
        self.cost = self.gauge(
            f"{p}cost_per_hour", "What the units wanted cost an hour, by the policy's prices."
        )
        self.leader = self.gauge(f"{p}leader", "1 while this process may write.")
        self.mode = self.gauge(f"{p}mode", "1 for the mode in force.", "mode")
        self.reloads = self.counter(
            f"{p}policy_reloads_total", "Policies offered, by what became of them.", "outcome"
        )
        self.held = self.gauge(
            f"{p}policy_refused", "1 while the policy offered last is wrong and an older one holds."
        )
        self.ledger_errors = self.counter(
            f"{p}ledger_errors_total", "Entries that could not be written."
        )
        self.recalls = self.counter(
            f"{p}history_recalls_total",
            "Attempts to read past demand from Prometheus: filled, nothing, partial, failed.",
            "model",
            "outcome",
        )
        self.recalled = self.counter(
            f"{p}history_recalled_minutes_total", "Minutes of past demand read so.", "model"
        )
        self.errors = self.counter(
            f"{p}errors_total", "Ticks that failed, by what they were about.", "part"
        )
