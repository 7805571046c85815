"""A budget that models share: who yields gives back at once what others may spend."""

from __future__ import annotations

from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.policy.model import load_policy
from autoscaler.sizing.decision import Reason
from autoscaler.sizing.fleet import PlannerFleet

POLICY = """\
mode: active
budgetPerHour: 22
models:
- {name: chat}
- {name: night, class: batch}
pools:
- {name: gpu, maxUnits: 40, pricePerUnitHour: 2}
"""


def test_a_batch_that_needs_what_it_has_still_leaves_the_budget() -> None:
    """Steady is no reason to keep what the interactive model was just allowed to buy."""
    fleet = PlannerFleet.of(load_policy(POLICY))
    have = {"chat": 3, "night": 5}
    reasons: dict[str, Reason] = {}
    for tick in range(1, 61):
        rates = {"chat": 20.0 if tick < 20 else 60.0, "night": 30.0}
        seen = {
            name: Observation(
                now_s=15.0 * tick,
                model=name,
                demand=Demand(
                    window_s=15.0,
                    arrivals_rps=rate,
                    input_tokens=1100.0,
                    output_tokens=200.0,
                    queued_requests=0.0,
                ),
                supply={
                    "gpu": PoolSupply(replicas_ready=have[name], units_ready=sum(have.values()))
                },
            )
            for name, rate in rates.items()
        }
        decided = fleet.decide(seen)
        sizes = {name: decision.total() for name, decision in decided.items()}
        assert 2 * sum(sizes.values()) <= 22
        have = sizes
        reasons = {name: decision.reason for name, decision in decided.items()}
    assert have["chat"] >= 8
    assert reasons["night"] is Reason.BUDGET
