"""What both controllers are told: the same pool, the same replica, the same objective. Pure.

What a replica sustains is measured in virtual time from the very engine that the servers run, and
both get it: the policy's profile, and the HPA's target.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from load_tests.capacity import requests_needed, saturation
from load_tests.day.shape import Day
from load_tests.emulator.profiles import PROFILES
from load_tests.workload import Arrival, Block, Message

MODEL: Final = "llama"
POOL: Final = "l4"
PROFILE: Final = "L4-8B"
PRICE_PER_NODE_HOUR: Final = 0.70
TTFT_OBJECTIVE_S: Final = 0.4
"""Real seconds. A first token takes 0.3 s without a queue, and with requests thinned a tenth of a
second in one is half a minute of the day."""
SUSTAINED_LOAD: Final = 0.85
"""Of full load, at which a replica still holds the objective. The forecast adds its own margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Seconds are the day's, but for the objective."""

    node_s: float = 480.0
    pod_s: float = 360.0
    drain_s: float = 900.0
    least: int = 1
    most: int = 8
    at_first: int = 2
    saturation_rps: float
    """What one replica completes at the most, of the day's requests."""
    hpa_load: float
    """Share of it that the HPA keeps replicas at: a reactive controller's margin is its target."""

    @property
    def target_rps(self) -> float:
        """A replica's share: the HPA's target."""
        return self.hpa_load * self.saturation_rps


def measured_rps(day: Day) -> float:
    """Requests a second that one emulated server completes when it has more than it can do."""
    rng = random.Random(day.seed)
    profile = PROFILES[PROFILE]
    count = requests_needed(profile, 1, day.input_tokens) // 2
    asked = [
        Arrival(0.0, (Message("user", (Block(rng.getrandbits(62), day.input_tokens),)),), 1, -1)
        for _ in range(count)
    ]
    asked = [Arrival(each.at_s, each.messages, day.output_tokens, each.group) for each in asked]
    return saturation(asked, profile, 1)


def policy(day: Day, terms: Terms) -> str:
    """The autoscaler's policy."""
    # A decode step is shared by so many that its part of a request is in the measured rate.
    per_token_s = 1.0 / (terms.saturation_rps * day.input_tokens)
    return f"""\
mode: active
period: 30s
models:
- name: {MODEL}
  minReplicas: {terms.least}
  maxReplicas: {terms.most}
  sloTtftP95: {TTFT_OBJECTIVE_S:g}s
  typicalInputTokens: {day.input_tokens}
  typicalOutputTokens: {day.output_tokens}
  profile: {{prefillPerToken: {per_token_s * 1e6:.3f}us, decodeBase: 0s, decodePerSequence: 1us,
            sustainableLoad: {SUSTAINED_LOAD}}}
  variants:
  - pool: {POOL}
    target: {{name: {MODEL}}}
pools:
- name: {POOL}
  provider: local
  mode: local
  maxUnits: {terms.most}
  pricePerUnitHour: {PRICE_PER_NODE_HOUR}
  leadTime: {{node: {terms.node_s:g}s, pod: {terms.pod_s:g}s}}
# Rates are the mean of the last real second; silence of some real seconds is silence.
safety: {{staleAfter: {5 * day.factor:g}s, operationsPerHour: 600}}
"""


def adapter(signals: list[str]) -> str:
    """The metrics adapter's configuration: hears gateways and the autoscaler at ``signals``."""
    listed = ", ".join(signals)
    return f"sources:\n- {{type: feed, addresses: [{listed}], insecureSkipVerify: true}}\n"
