"""What requests really cost a replica: the numbers behind the plant, step by step of a demand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autoscaler.capacity.curve import ServiceCurve
from autoscaler.capacity.profiles import profile_of
from autoscaler.capacity.work import WorkModel
from autoscaler.policy.model import ModelPolicy
from autoscaler.policy.profile import ProfilePolicy
from autoscaler.simulate.demand import DemandSeries
from autoscaler.simulate.plant_file import PlantSpec
from loadstar.arrays import Floats


@dataclass(frozen=True, slots=True)
class Truth:
    """For each 5 s: the work of one request, and what it is made of."""

    work_s: Floats  # replica-seconds
    prefill_share: Floats
    prefill_s: Floats
    fixed_share: Floats

    @classmethod
    def of(cls, work: WorkModel, demand: DemandSeries) -> Truth:
        fresh = demand.input_tokens * (1.0 - demand.prefix_hit)
        prefill_s = work.per_request_s + fresh * work.per_input_token_s
        whole_s = np.maximum(prefill_s + demand.output_tokens * work.per_output_token_s, 1e-9)
        fixed_s = demand.output_tokens * work.fixed_per_output_token_s
        return cls(whole_s, prefill_s / whole_s, prefill_s, fixed_s / whole_s)

    def curve(self, index: int) -> ServiceCurve:
        """How a replica fills up under the requests of one step."""
        return ServiceCurve(
            float(self.fixed_share[index]),
            float(self.prefill_share[index]),
            float(self.prefill_s[index]),
        )


def work_model(spec: PlantSpec, model: ModelPolicy) -> WorkModel:
    """What a replica of speed 1 really spends on a request, before ``capacityFactor``."""
    return WorkModel.of(true_profile(spec, model))


def true_profile(spec: PlantSpec, model: ModelPolicy) -> ProfilePolicy:
    """The step times behind ``work_model``."""
    replica = spec.replica
    profile = replica.profile or profile_of(model)
    if replica.throughput_rps is None:
        return profile
    whole_s = WorkModel.of(profile).request_s(replica.input_tokens, replica.output_tokens)
    factor = 1.0 / (replica.throughput_rps * whole_s)
    return replace(
        profile,
        decode_base_s=profile.decode_base_s * factor,
        decode_per_sequence_s=profile.decode_per_sequence_s * factor,
        prefill_per_token_s=profile.prefill_per_token_s * factor,
        prefill_base_s=profile.prefill_base_s * factor,
    )


def informed(spec: PlantSpec, model: ModelPolicy) -> ModelPolicy:
    """``model`` as its controllers know it.

    Where the policy says nothing of what a replica does, they know it as the plant has it; its
    ``capacityFactor`` is what nobody told them.
    """
    if model.profile is not None or model.profile_ref:
        return model
    return replace(model, profile=true_profile(spec, model))
