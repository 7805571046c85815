"""From what is observed to what is needed: the planner's eyes, and all that it learns.

Each tick feeds sizes, arrivals and the saturation signals; each minute that closes feeds the
forecast, the headroom and kappa. Holds no opinion on pools or on what is affordable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from autoscaler.capacity.curve import ServiceCurve
from autoscaler.capacity.kappa import Kappa
from autoscaler.capacity.work import WorkModel
from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.types import Forecast
from autoscaler.observe.history import History
from autoscaler.observe.observation import Observation
from autoscaler.policy.model import ModelPolicy
from autoscaler.policy.profile import ProfilePolicy
from autoscaler.sizing.feedback import Headroom
from autoscaler.sizing.need import Arrivals, RequestSize, beyond_chance, reactive

_REVIEW_MINUTES: Final = 6 * 60
_UNTIL_NEXT_S: Final = 60.0
"""What is ordered now must do until what is ordered a minute later comes."""
_LEAD_OVER_S: Final = 30.0
_LEAD_UNDER_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is needed, in reference replicas at full load."""

    minute_work: float  # of the last minute
    arriving_work: float  # that is here now, without what waits
    reactive_work: float  # with it
    backlog_work_s: float
    per_replica: float  # the work a replica carries within the objective
    headroom: float
    kappa: float
    forecast: Forecast | None
    hour_work: float = 0.0
    """The highest bound of the moments of the next hour; 0 where it is not known."""
    variation: float = 0.0
    """How much arrivals vary within a minute: a standard deviation, as a share of their mean."""

    def replicas(self, work: float) -> float:
        """Reference replicas that carry ``work``, with headroom."""
        return work * (1.0 + self.headroom) / self.per_replica

    def work(self) -> float:
        upper = self.forecast.upper if self.forecast else 0.0
        return max(upper, self.reactive_work)

    def lasting_work(self) -> float:
        """What remains to be served once the queue is gone: what a size is held for."""
        upper = self.forecast.upper if self.forecast else 0.0
        return max(upper, self.arriving_work)

    def early(self) -> Estimate:
        """The same for whoever may have to wait an hour for what is ordered now."""
        if self.forecast is None or self.hour_work <= self.forecast.upper:
            return self
        return replace(self, forecast=replace(self.forecast, upper=self.hour_work))


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesAhead:
    """Demand in one minute to come."""

    minutes: int
    expected_rps: float
    upper_rps: float
    input_tokens_per_request: float
    output_tokens_per_request: float


class Estimator:
    """One model's."""

    def __init__(self, model: ModelPolicy, history: History, profile: ProfilePolicy) -> None:
        self.history = history
        self.headroom = Headroom(model.violation_budget)
        self.kappa = Kappa(trust_curve=model.profile is not None or bool(model.profile_ref))
        self._model = model
        self._work = WorkModel.of(profile)
        self._sustainable = profile.sustainable_load
        self._size = RequestSize()
        self._arrivals = Arrivals()
        self._forecaster: Forecaster | None = None
        self._forecast: Forecast | None = None
        self._review_minute = 0

    def see(
        self, seen: Observation, elapsed_s: float, lead_s: float, ready: float, *, frozen: bool
    ) -> Estimate | None:
        """Take in one observation; None when demand is not known."""
        demand = seen.demand
        self._size.update(demand, elapsed_s)
        rate = self._arrivals.update(seen.now_s, demand)
        size = self._size
        isl = self._model.typical_input_tokens if size.input_tokens is None else size.input_tokens
        osl = (
            self._model.typical_output_tokens if size.output_tokens is None else size.output_tokens
        )
        if rate is not None and (not math.isfinite(rate) or rate < 0):
            rate = None
        hit = size.prefix_hit
        request_s = self._work.request_s(isl, osl, hit)
        curve = ServiceCurve.of(self._work, isl, osl, hit)
        queued = demand.queued_requests
        backlog_s = None if queued is None else max(queued, 0.0) * request_s
        if rate is not None:
            can = ready * self.kappa.value
            load = rate * request_s / can if can > 0 else math.inf
            self.headroom.see(
                self._violating(demand.violating, backlog_s, ready), load if rate > 0 else 0.0
            )
            self.kappa.see(
                elapsed_s,
                served=None if demand.served_rps is None else demand.served_rps * request_s,
                ready=ready,
                backlog_s=backlog_s,
                utilization=_utilization(seen),
                curve=curve,
            )
        closed = self.history.add(seen.now_s, rate, isl * (1.0 - hit), osl)
        if closed:
            self.kappa.minute()
            self.headroom.minute(lead_s, frozen=frozen or rate is None)
            self._foresee(closed, lead_s)
        if rate is None:
            return None
        tick, minute = self._arrivals.add(seen.now_s, rate * request_s)
        variation = self._arrivals.variation()
        queue = beyond_chance(backlog_s or 0.0, minute, variation)
        forecast = self._forecast.carried(minute) if self._forecast else None
        sustainable = self._sustainable or curve.sustainable_load(self._model.slo_ttft_p95_s)
        return Estimate(
            minute_work=minute,
            arriving_work=reactive(tick, minute, 0.0),
            reactive_work=reactive(tick, minute, queue),
            backlog_work_s=backlog_s or 0.0,
            per_replica=sustainable * self.kappa.value,
            headroom=self.headroom.value,
            kappa=self.kappa.value,
            forecast=forecast,
            hour_work=self._hour_work(),
            variation=variation,
        )

    def _hour_work(self) -> float:
        moments = self._forecaster.outlook.latest if self._forecaster else ()
        return max((each.upper for each in moments), default=0.0)

    def ahead(self) -> tuple[RatesAhead, ...]:
        """Demand from a minute to an hour ahead, in requests and tokens of today's mix."""
        size = self._size
        if self._forecaster is None or size.input_tokens is None or size.output_tokens is None:
            return ()
        isl, osl = size.input_tokens, size.output_tokens
        request_s = self._work.request_s(isl, osl, size.prefix_hit)
        return tuple(
            RatesAhead(
                minutes=each.minutes,
                expected_rps=each.expected / request_s,
                upper_rps=each.upper / request_s,
                input_tokens_per_request=isl,
                output_tokens_per_request=osl,
            )
            for each in self._forecaster.outlook.latest
        )

    def _violating(
        self, violating: float | None, backlog_s: float | None, ready: float
    ) -> float | None:
        """As reported; else from the wait that the queue means for whoever joins it now."""
        if violating is not None or backlog_s is None or ready <= 0:
            return violating
        wait_s = backlog_s / (ready * self.kappa.value)
        return 1.0 if wait_s > self._model.slo_ttft_p95_s else 0.0

    def _foresee(self, closed: int, lead_s: float) -> None:
        horizon = math.ceil((lead_s + _UNTIL_NEXT_S) / 60.0)
        minute = self.history.closed
        held = self._forecaster
        due = minute >= self._review_minute
        # After an absence longer than what is kept the history begins anew, and so does this.
        astray = held is not None and held.next_minute + closed != minute
        if held is None or astray or (due and _outgrown(held.horizon, lead_s)):
            works = self._work.rate(self.history.rows)
            self._forecaster = Forecaster.lived_through(
                self.history.first_minute, works, horizon, self._model.miss_rate
            )
            self._forecast = self._forecaster.latest
            self._review_minute = minute + _REVIEW_MINUTES
            return
        for work in self._work.rate(self.history.rows[-closed:]):
            # After a gap the last statement stands: the future did not become nothing.
            self._forecast = held.observe(float(work)) or self._forecast


def _outgrown(horizon: int, lead_s: float) -> bool:
    """Whether lead times have left the horizon, by enough to be worth learning anew."""
    covered_s = 60.0 * (horizon - 1)
    return lead_s > covered_s + _LEAD_OVER_S or lead_s < covered_s - _LEAD_UNDER_S


def _utilization(seen: Observation) -> float | None:
    """Mean over ready replicas of all pools; None unless every pool that serves says its own."""
    total, weight = 0.0, 0
    for supply in seen.supply.values():
        if supply.replicas_ready:
            if supply.utilization is None:
                return None
            total += supply.utilization * supply.replicas_ready
            weight += supply.replicas_ready
    return total / weight if weight else None
