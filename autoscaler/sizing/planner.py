"""One model's controller: demand in, sizes out. Remembers what it has seen; never looks away.

``decide`` is the whole algorithm, each step in a file of its own: need, forecast, feedback,
capacity, guards, mix. Synchronous and deterministic; the live loop, the simulator and the replay
call it every ``period_s``. ``now_s`` is Unix seconds, so that days and schedules are real ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from autoscaler.capacity.curve import ServiceCurve
from autoscaler.capacity.work import WorkModel
from autoscaler.observe.history import History
from autoscaler.observe.observation import Observation, PoolSupply
from autoscaler.policy.model import ModelPolicy, Policy
from autoscaler.policy.profile import ProfilePolicy
from autoscaler.policy.schedule import announced
from autoscaler.sizing.decision import Decision, Reason
from autoscaler.sizing.greedy import greedy
from autoscaler.sizing.guard import DownGuard
from autoscaler.sizing.need import Arrivals, RequestSize, reactive
from autoscaler.sizing.offers import Offer, Question
from autoscaler.sizing.release import held_back

_NO_SUPPLY = PoolSupply(replicas_ready=0)


class Planner:
    """Decides for one model."""

    def __init__(self, policy: Policy, model: ModelPolicy, history: History) -> None:
        self.period_s = policy.period_s
        self.policy = policy
        self.model = model
        self.history = history
        self._pools = policy.variants(model)
        self._work = WorkModel.of(model.profile or ProfilePolicy())
        self._size = RequestSize()
        self._arrivals = Arrivals()
        self._down = DownGuard(model.scale_down)
        self._units: dict[str, int] | None = None
        self._last_s: float | None = None

    @classmethod
    def of(cls, policy: Policy, model: str, *, history: History | None = None) -> Planner:
        """The controller of the policy's ``model``; KeyError where there is none."""
        return cls(policy, policy.model(model), history or History())

    def decide(self, seen: Observation) -> Decision:
        """The sizes wanted at ``seen.now_s``."""
        now = seen.now_s
        elapsed = self.period_s if self._last_s is None else max(0.0, now - self._last_s)
        self._last_s = now
        current = self._current(seen)
        self._size.update(seen.demand, elapsed)
        rate = self._arrivals.update(now, seen.demand)
        coming = announced(self.model.schedules, now, now + self._lead_s())
        floor = max(self.model.min_replicas, coming.min_replicas or 0)
        if rate is None or self._size.input_tokens is None or self._size.output_tokens is None:
            if rate == 0.0:
                need = 0.0
            else:
                self._down.restart()
                return self._buy(seen, current, max(floor, _total(current)), floor, Reason.STALE)
        else:
            request_s = self._work.request_s(
                self._size.input_tokens, self._size.output_tokens, self._size.prefix_hit
            )
            tick, minute = self._arrivals.add(now, rate * request_s)
            need = reactive(tick, minute, (seen.demand.queued_requests or 0.0) * request_s)
            curve = ServiceCurve.of(
                self._work,
                self._size.input_tokens,
                self._size.output_tokens,
                self._size.prefix_hit,
            )
            need *= coming.uplift / curve.sustainable_load(self.model.slo_ttft_p95_s)
        wanted = max(math.ceil(need), floor)
        highest = self._down.note(now, wanted)
        have = math.floor(self._capacity(current))
        if wanted > have:
            goal, reason = wanted, Reason.REACTIVE
        else:
            goal = self._down.lowered(now, have, max(highest, wanted), self._step())
            reason = Reason.SCALE_DOWN if goal < have else Reason.STEADY
        return self._buy(seen, current, goal, floor, reason)

    def _current(self, seen: Observation) -> dict[str, int]:
        if self._units is None:
            self._units = {}
            for _, pool in self._pools:
                supply = seen.supply.get(pool.name, _NO_SUPPLY)
                replicas = supply.replicas_ready + supply.replicas_starting
                self._units[pool.name] = -(-replicas // pool.replicas_per_unit)
        return self._units

    def _capacity(self, units: Mapping[str, int]) -> float:
        return sum(offer.capacity * units[offer.pool] for offer in self._offers({}, units))

    def _step(self) -> int:
        return max(1, math.ceil(min(o.capacity for o in self._offers({}, {}))))

    def _lead_s(self) -> float:
        return max(pool.lead_time.total_s() for _, pool in self._pools)

    def _offers(
        self, supply: Mapping[str, PoolSupply], current: Mapping[str, int]
    ) -> tuple[Offer, ...]:
        made = []
        for variant, pool in self._pools:
            seen = supply.get(pool.name, _NO_SUPPLY)
            high = pool.limit_units(seen.quota_units)
            have = current.get(pool.name, 0)
            if seen.stockout:
                high = min(high, max(have, pool.min_units))
            made.append(
                Offer(
                    pool=pool.name,
                    capacity=pool.replicas_per_unit
                    * (variant.relative_speed or pool.relative_speed),
                    price_per_hour=pool.price_per_unit_hour,
                    low=min(pool.min_units, high),
                    high=high,
                    current=have,
                    replicas=pool.replicas_per_unit,
                    spot=pool.spot,
                    zones=pool.zones,
                )
            )
        return tuple(made)

    def _buy(
        self, seen: Observation, current: dict[str, int], goal: float, floor: int, reason: Reason
    ) -> Decision:
        offers = self._offers(seen.supply, current)
        question = Question(
            offers=offers,
            need=goal,
            budget_per_hour=self.policy.budget_per_hour,
            least_replicas=floor,
            most_replicas=self.model.max_replicas,
        )
        have = [current[offer.pool] for offer in offers]
        ready = [
            seen.supply.get(pool.name, _NO_SUPPLY).replicas_ready // pool.replicas_per_unit
            for _, pool in self._pools
        ]
        units = have if reason is Reason.STALE and floor <= _total(current) else greedy(question)
        if reason is not Reason.STALE:
            units = held_back(question, units, have, ready)
        self._units = {offer.pool: n for offer, n in zip(offers, units, strict=True)}
        replicas = {o.pool: o.replicas * n for o, n in zip(offers, units, strict=True)}
        return Decision(replicas=replicas, reason=reason, inputs={"goal_replicas": float(goal)})


def _total(units: Mapping[str, int]) -> int:
    return sum(units.values())
