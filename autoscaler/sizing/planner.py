"""One model's controller: demand in, sizes out. Remembers what it has seen; never looks away.

``decide`` is the whole algorithm, each step in a file of its own: estimate (need, forecast,
headroom, kappa), guard, offers, variants, release. Synchronous and deterministic; the live loop,
the simulator and the replay call it every ``period_s``. ``now_s`` is Unix seconds, so that days
and schedules are real ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from autoscaler.capacity.profiles import profile_of
from autoscaler.observe.history import History
from autoscaler.observe.observation import Observation
from autoscaler.policy.model import Mode, ModelPolicy, Policy
from autoscaler.policy.pools import AUTOSCALED, PoolPolicy
from autoscaler.policy.schedule import Announced, announced
from autoscaler.sizing.decision import Decision, Reason
from autoscaler.sizing.estimate import Estimate, Estimator
from autoscaler.sizing.guard import EXCESS, DownGuard
from autoscaler.sizing.idle import EXPECTED_WORK, Idle
from autoscaler.sizing.nodes import PoolBook
from autoscaler.sizing.offers import SLACK, Question, affordable, capacity, replicas
from autoscaler.sizing.purchase import Purchase
from autoscaler.sizing.report import figures, out_of_step, sentence
from autoscaler.sizing.sizes import loosened

_AUTOSCALER_RESTS_S: Final = 600.0
"""How long the cluster autoscaler keeps an empty node, unless it is told otherwise."""
_SCARCE_S: Final = 3 * 86400.0
"""What could not be had within three days may be scarce again."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What other models leave of what all share; None: no bound but the policy's."""

    budget_per_hour: float | None = None
    units: Mapping[str, int] | None = None  # the most of each pool


@dataclass(frozen=True, slots=True)
class _Goal:
    replicas: float  # reference replicas
    reason: Reason
    needed: float  # of these, what must be ready before anything goes
    survive: float = 0.0


class Planner:
    """Decides for one model."""

    def __init__(self, policy: Policy, model: ModelPolicy, history: History) -> None:
        self.period_s = policy.period_s
        self.policy = policy
        self.model = model
        self.books = [
            PoolBook.of(model, variant, _least_of(policy, model, pool))
            for variant, pool in policy.variants(model)
        ]
        self.estimator = Estimator(model, history, profile_of(model))
        autoscaled = all(book.pool.mode in AUTOSCALED for book in self.books)
        rest_s = _AUTOSCALER_RESTS_S if autoscaled else 0.0
        self._down = DownGuard(model.scale_down, rest_s)
        self._insured = DownGuard(model.scale_down, rest_s)
        self._idle = Idle(model.scale_to_zero)
        # What we mean to have, which insurance against losses and whole units exceed.
        self._level: float | None = None
        self._known: list[PoolBook] = []
        self._last_s: float | None = None
        self._purchase = Purchase()

    @classmethod
    def of(cls, policy: Policy, model: str, *, history: History | None = None) -> Planner:
        """The controller of the policy's ``model``; KeyError where there is none."""
        return cls(policy, policy.model(model), history or History())

    @property
    def history(self) -> History:
        return self.estimator.history

    def notice(self, seen: Observation) -> None:
        """Take in the supply alone, so that others know what this model has."""
        for book in self.books:
            book.see(seen.now_s, seen.supply.get(book.pool.name))

    def decide(self, seen: Observation, shares: Shares | None = None) -> Decision:
        """The sizes wanted at ``seen.now_s``."""
        now = seen.now_s
        elapsed_s = self.period_s if self._last_s is None else max(0.0, now - self._last_s)
        gap = elapsed_s > self.policy.safety.stale_after_s
        self._last_s = now
        self.notice(seen)
        self._known = [book for book in self.books if book.started]
        blind = any(book.units and book.pool.name not in seen.supply for book in self._known)
        lead_s = self._lead_s()
        ready = sum(book.speed * book.supply.replicas_ready for book in self.books)
        estimate = self.estimator.see(
            seen,
            elapsed_s,
            lead_s,
            ready,
            frozen=gap or any(book.supply.stockout for book in self.books),
        )
        coming = announced(self.model.schedules, now, now + lead_s)
        if gap or blind or estimate is None:
            self._down.restart()
            self._idle.forget()
        if self.policy.mode is Mode.OFF or self.policy.safety.kill_switch:
            return self._off()
        if not self._known:
            return Decision(replicas={}, reason=Reason.STALE, text="No pool has been seen yet.")
        floor = max(self.model.min_replicas, coming.min_replicas or 0)
        cap = min(self.model.max_replicas, max(coming.max_replicas or 1 << 30, floor))
        question = self._question(now, floor, cap, shares or Shares())
        goal = self._goal(now, estimate, coming, floor, lead_s, question)
        question = replace(question, need=goal.replicas, survive=goal.survive)
        units, reason = self._purchase.units(
            now,
            question,
            goal.reason,
            goal.needed,
            wanted=[book.units for book in self._known],
            ready=[book.ready_units() for book in self._known],
            there=[book.there_units(shared=len(self.policy.models) > 1) for book in self._known],
            stockouts=[book.supply.stockout for book in self._known],
            blind=blind,
        )
        reason = out_of_step(reason, replicas(question, units), floor, cap)
        self._level = min(goal.replicas, capacity(question, units))
        for book, count in zip(self._known, units, strict=True):
            book.order(now, count)
        inputs = figures(question, units, estimate, goal.replicas, lead_s)
        return Decision(
            replicas={o.pool: o.replicas * n for o, n in zip(question.offers, units, strict=True)},
            reason=reason,
            inputs=inputs,
            text=sentence(reason, inputs, coming.names),
        )

    def adopt(self, replicas: Mapping[str, int]) -> None:
        """Take the sizes that somebody else has set, by pool, as our own."""
        for book in self.books:
            if book.pool.name in replicas:
                book.adopt(replicas[book.pool.name])
        self._level = None

    def _off(self) -> Decision:
        """What is there, so that switching on again begins from it."""
        self._level = None
        for book in self._known:
            book.adopt(book.supply.replicas_ready + book.supply.replicas_starting)
        there = {b.pool.name: b.units * b.pool.replicas_per_unit for b in self._known}
        return Decision(replicas=there, reason=Reason.OFF, text="Nothing is decided while off.")

    def _lead_s(self) -> float:
        """The 90th percentile of the slowest pool in use; of the slowest at all when none is."""
        used = [book for book in self.books if book.units] or self.books
        return max(book.lead.p90_s() for book in used)

    def _goal(
        self,
        now: float,
        estimate: Estimate | None,
        coming: Announced,
        floor: int,
        lead_s: float,
        question: Question,
    ) -> _Goal:
        """What capacity to have, before anybody asks which and at what price."""
        have = capacity(question, [offer.current for offer in question.offers])
        level = have if self._level is None else min(self._level, have)
        if estimate is None:
            return _Goal(level, Reason.STALE, have)
        scarce = all(now - book.stockout_s <= _SCARCE_S for book in self._known)
        if scarce:
            estimate = estimate.early()
        needed = estimate.replicas(estimate.work() * coming.uplift)
        busy = estimate.minute_work > 0 or estimate.backlog_work_s > 0
        self._idle.see(now, busy=busy)
        asleep = have == 0
        rests = not busy and floor == 0 and not self._expected(estimate, coming)
        if rests and (asleep or self._idle.over(now, lead_s)):
            self._down.note(now, 0)
            return _Goal(0.0, Reason.STEADY if asleep else Reason.IDLE, 0.0)
        wanted = max(1, math.ceil(needed - SLACK))
        # The window holds what comes back, not what a queue took to clear: that is over.
        excess = max(EXCESS, estimate.variation)
        lasting = (1.0 + excess) * estimate.replicas(estimate.lasting_work() * coming.uplift)
        highest = self._down.note(now, max(1, math.ceil(lasting - SLACK)), scarce=scarce)
        survive = self.model.service_class.survival * estimate.replicas(estimate.minute_work)
        survive = max(survive, self._insured.note(now, math.floor(survive)))
        if asleep:
            return _Goal(wanted, Reason.WAKE if floor == 0 else Reason.FLOOR, needed, survive)
        if needed > have + SLACK:
            if lasting > have + SLACK:
                self._down.rose(now)
            return _Goal(max(needed, level), self._up(estimate, coming), needed, survive)
        # What whole units and insurance give beyond the level was not asked for: it may serve.
        level = max(level, min(needed, have))
        whole = math.ceil(level - SLACK)
        step = max(1, math.ceil(min(offer.capacity for offer in question.offers) - SLACK))
        lowered = self._down.lowered(now, whole, max(highest, wanted), step)
        if lowered < whole:
            return _Goal(lowered, Reason.SCALE_DOWN, needed, survive)
        reason = Reason.HOLD_DOWN if wanted < whole else Reason.STEADY
        return _Goal(level, reason, needed, survive)

    @staticmethod
    def _up(estimate: Estimate, coming: Announced) -> Reason:
        if coming.uplift > 1.0:
            return Reason.SCHEDULE
        upper = estimate.forecast.upper if estimate.forecast else 0.0
        return Reason.FORECAST if upper > estimate.reactive_work else Reason.REACTIVE

    @staticmethod
    def _expected(estimate: Estimate, coming: Announced) -> bool:
        forecast = estimate.forecast
        return coming.uplift > 1.0 or (
            forecast is not None and forecast.highest_expected > EXPECTED_WORK
        )

    def _question(self, now: float, floor: int, cap: int, shares: Shares) -> Question:
        # Orders move to who can take them: a pool that has no quota delivers nothing either.
        delivering = [b for b in self._known if not b.supply.stockout and b.limit_units() > 0]
        keep_s = self.model.scale_down.after_stockout_s
        left = shares.units or {}
        offers = [
            book.offer(now, keep_s, alone=not delivering, left=left.get(book.pool.name))
            for book in self._known
        ]
        budgets = [
            b for b in (self.policy.budget_per_hour, shares.budget_per_hour) if b is not None
        ]
        question = Question(
            offers=tuple(offers),
            need=0.0,
            budget_per_hour=min(budgets, default=None),
            least_replicas=floor,
            most_replicas=cap,
            survive_zones=self.model.survive_zone_loss,
        )
        return affordable(loosened(question, self.model.max_replicas))


def _least_of(policy: Policy, model: ModelPolicy, pool: PoolPolicy) -> PoolPolicy:
    """``pool``, whose least units the first model in turn keeps, and not each model again."""
    first = next(each for each in policy.in_turn() if _uses(policy, each, pool))
    return pool if first.name == model.name else replace(pool, min_units=0)


def _uses(policy: Policy, model: ModelPolicy, pool: PoolPolicy) -> bool:
    return any(each.name == pool.name for _, each in policy.variants(model))
