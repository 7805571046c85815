"""Planners, and a fleet that obeys them after a lead time: small, exact, and able to misbehave."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.policy.model import Policy, load_policy
from autoscaler.sizing.decision import Decision
from autoscaler.sizing.planner import Planner

SECONDS_OF_A_REQUEST = 1100 * 75e-6 + 200 * (1e-4 + 1e-2 / 96)
"""Work of one request of 1100 + 200 tokens on the default profile."""


def policy_of(*pools: dict[str, Any], model: dict[str, Any] | None = None, **rest: Any) -> Policy:
    """A policy of one model and ``pools``."""
    return load_policy(
        {
            "mode": "active",
            "models": [{"name": "chat", **(model or {})}],
            "pools": [{"name": "a", **pool} for pool in pools or ({},)],
            **rest,
        }
    )


def demand(work: float | None, *, queued: float = 0.0, **rest: Any) -> Demand:
    """Demand of ``work`` reference replicas; None: not known."""
    return Demand(
        window_s=15.0,
        arrivals_rps=None if work is None else work / SECONDS_OF_A_REQUEST,
        input_tokens=1100.0,
        output_tokens=200.0,
        queued_requests=queued,
        **rest,
    )


@dataclass
class Fleet:
    """Pools whose replicas come a lead time after they are wanted, and go at once."""

    planner: Planner
    lead_s: float = 390.0
    now_s: float = 0.0
    ready: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)
    stockout: set[str] = field(default_factory=set)
    quota: dict[str, int] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    _coming: dict[str, deque[float]] = field(default_factory=dict)

    def supply(self) -> dict[str, PoolSupply]:
        return {
            book.pool.name: PoolSupply(
                replicas_ready=self.ready.get(book.pool.name, 0),
                replicas_starting=len(self._coming.get(book.pool.name, ())),
                units_ready=-(-self.ready.get(book.pool.name, 0) // book.pool.replicas_per_unit),
                quota_units=self.quota.get(book.pool.name),
                stockout=book.pool.name in self.stockout,
            )
            for book in self.planner.books
        }

    def tick(self, seen: Demand, supply: Mapping[str, PoolSupply] | None = None) -> Decision:
        """15 s pass with ``seen``; what is decided is done."""
        self.now_s += 15.0
        self.arrive()
        decision = self.planner.decide(
            Observation(
                now_s=self.now_s,
                model=self.planner.model.name,
                demand=seen,
                supply=self.supply() if supply is None else supply,
            )
        )
        self.obey(decision)
        return decision

    def arrive(self) -> None:
        """What is due by now is ready."""
        for pool, coming in self._coming.items():
            while coming and coming[0] <= self.now_s and pool not in self.stockout:
                coming.popleft()
                self.ready[pool] = self.ready.get(pool, 0) + 1

    def obey(self, decision: Decision) -> None:
        """Order what is missing; what is too much goes at once."""
        self.decisions.append(decision)
        for pool, replicas in decision.replicas.items():
            coming = self._coming.setdefault(pool, deque())
            ready = self.ready.get(pool, 0)
            while ready + len(coming) < replicas:
                coming.append(self.now_s + self.lead_s)
            while coming and ready + len(coming) > replicas:
                coming.pop()
            self.ready[pool] = min(ready, replicas)

    def run(self, work: float | None, minutes: float, **rest: Any) -> Decision:
        """``minutes`` of the same demand."""
        decision = (
            Decision(replicas={}, reason=self.decisions[-1].reason) if self.decisions else None
        )
        for _ in range(round(minutes * 4)):
            decision = self.tick(demand(work, **rest))
        assert decision is not None
        return decision

    def sizes(self) -> list[int]:
        return [decision.total() for decision in self.decisions]


def fleet(policy: Policy, **rest: Any) -> Fleet:
    return Fleet(Planner.of(policy, policy.models[0].name), **rest)
