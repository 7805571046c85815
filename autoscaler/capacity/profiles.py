"""The capacity profiles that are shipped, by model, accelerator, parallelism and number formats.

Step times are fits to published measurements; ``basis`` says which and ``confidence`` how far to
trust them. Measure your own with ``loadstar profile fit``: it always wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from autoscaler.capacity.engine import EngineModel, Shape
from autoscaler.capacity.work import WorkModel
from autoscaler.policy.model import ModelPolicy, Policy, VariantPolicy
from autoscaler.policy.pools import PoolPolicy
from autoscaler.policy.profile import ProfilePolicy
from loadstar.config.errors import Problem, did_you_mean


class Confidence(StrEnum):
    HIGH = "high"  # fitted to measurements, which it reproduces within some percent
    MEDIUM = "medium"  # fitted in part
    LOW = "low"  # scaled from other hardware


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityProfile:
    """One model on one accelerator."""

    model: str
    accelerator: str
    devices: int
    engine: EngineModel
    confidence: Confidence
    basis: str
    quantization: str = "bf16"
    kv_dtype: str = "bf16"

    @property
    def key(self) -> str:
        """``model/accelerator x devices``, with number formats where they are not bf16."""
        formats = [f"w-{self.quantization}"] if self.quantization != "bf16" else []
        formats += [f"kv-{self.kv_dtype}"] if self.kv_dtype != "bf16" else []
        return "/".join([self.model, f"{self.accelerator}x{self.devices}", *formats])


_LLAMA_8B: Final = "llama-3.1-8b"

_SHIPPED: Final = (
    CapacityProfile(
        model=_LLAMA_8B,
        accelerator="l4",
        devices=1,
        engine=EngineModel(
            weights_s=0.0667,
            token_s=0.000231,
            kv_read_s=6.242e-7,
            attention_s=1.238e-8,
            overhead_s=0.0015,
            sequence_s=20e-6,
            kv_tokens=32_768,
            max_sequences=128,
        ),
        confidence=Confidence.LOW,
        basis="theory, with efficiencies measured on an A40",
    ),
    CapacityProfile(
        model=_LLAMA_8B,
        accelerator="a100-80gb",
        devices=1,
        engine=EngineModel(
            weights_s=0.0115,
            token_s=0.000069,
            kv_read_s=9.183e-8,
            attention_s=3.734e-9,
            overhead_s=0.0005,
            sequence_s=15e-6,
            kv_tokens=407_000,
            max_sequences=256,
        ),
        confidence=Confidence.HIGH,
        basis="fitted to Vidur's operator times, error 3.8 %",
    ),
    CapacityProfile(
        model=_LLAMA_8B,
        accelerator="h100-80gb",
        devices=1,
        engine=EngineModel(
            weights_s=0.0066,
            token_s=0.0000231,
            kv_read_s=5.589e-8,
            attention_s=1.178e-9,
            overhead_s=0.0003,
            sequence_s=15e-6,
            kv_tokens=407_000,
            max_sequences=256,
        ),
        confidence=Confidence.HIGH,
        basis="reproduces published inter-token latencies at batch 1 and 64",
    ),
    CapacityProfile(
        model="qwen3-32b",
        accelerator="h100-80gb",
        devices=2,
        engine=EngineModel(
            weights_s=0.0135,
            token_s=0.000050,
            kv_read_s=5.589e-8,
            attention_s=2.120e-9,
            overhead_s=0.003,
            sequence_s=15e-6,
            kv_tokens=307_328,
            max_sequences=256,
        ),
        confidence=Confidence.HIGH,
        basis="reproduces llm-d's published prefill rate and benchmark",
    ),
    CapacityProfile(
        model="llama-3.3-70b",
        accelerator="h100-80gb",
        devices=4,
        engine=EngineModel(
            weights_s=0.0171,
            token_s=0.000058,
            kv_read_s=3.493e-8,
            attention_s=1.473e-9,
            overhead_s=0.003,
            sequence_s=15e-6,
            kv_tokens=479_000,
            max_sequences=256,
        ),
        confidence=Confidence.MEDIUM,
        basis="Vidur's operator times for a 70B at TP4, with all-reduce estimated",
    ),
    CapacityProfile(
        model="gemma-3-27b",
        accelerator="tpu-v6e",
        devices=8,
        engine=EngineModel(
            weights_s=0.0087,
            token_s=0.000031,
            kv_read_s=6.452e-8,
            attention_s=6.916e-10,
            overhead_s=0.003,
            sequence_s=20e-6,
            kv_tokens=372_000,
            max_sequences=256,
        ),
        confidence=Confidence.LOW,
        basis="scaled from the prefill rate published for a 32B on the same slice",
    ),
    CapacityProfile(
        model="gemma-3-27b",
        accelerator="tpu-v5e",
        devices=8,
        engine=EngineModel(
            weights_s=0.0174,
            token_s=0.000138,
            kv_read_s=1.292e-7,
            attention_s=3.223e-9,
            overhead_s=0.003,
            sequence_s=20e-6,
            kv_tokens=112_000,
            max_sequences=128,
        ),
        confidence=Confidence.LOW,
        basis="scaled from v6e by peak compute and bandwidth",
    ),
)

SHIPPED: Final = MappingProxyType({profile.key: profile for profile in _SHIPPED})


class UnknownProfile(Exception):
    """A profile is named that is not there; the message names those that are."""


def shipped(key: str) -> CapacityProfile:
    """The shipped profile of ``key``. Raises UnknownProfile."""
    found = SHIPPED.get(key)
    if found is None:
        known = ", ".join(SHIPPED)
        raise UnknownProfile(f'no profile "{key}"{did_you_mean(key, SHIPPED)} (there are: {known})')
    return found


def profile_of(model: ModelPolicy) -> ProfilePolicy:
    """What the policy says a replica of ``model`` does: its own numbers, or a shipped profile's."""
    if model.profile is not None:
        return model.profile
    return _referred(model, model.profile_ref) if model.profile_ref else ProfilePolicy()


def speed_of(model: ModelPolicy, variant: VariantPolicy, pool: PoolPolicy) -> float:
    """Of a replica of ``model`` there, over the reference replica's: what the variant says, or
    its profile at typical requests, or the pool.
    """
    if variant.relative_speed is not None:
        return variant.relative_speed
    if not variant.profile_ref:
        return pool.relative_speed
    shape = (model.typical_input_tokens, model.typical_output_tokens)
    there = WorkModel.of(_referred(model, variant.profile_ref))
    return WorkModel.of(profile_of(model)).request_s(*shape) / there.request_s(*shape)


def _referred(model: ModelPolicy, key: str) -> ProfilePolicy:
    shape = Shape(
        input_tokens=model.typical_input_tokens, output_tokens=model.typical_output_tokens
    )
    made = shipped(key).engine.profile(shape, model.slo_tpot_p95_s)
    if made is None:
        raise UnknownProfile(
            f"{key} cannot serve one request within sloTpotP95 "
            f"{model.slo_tpot_p95_s * 1000:g} ms; allow more, or take faster accelerators"
        )
    return made


def unknown_profiles(policy: Policy) -> list[Problem]:
    """Every ``profileRef`` of ``policy`` that nothing can be planned with, by its place."""
    problems: list[Problem] = []
    for index, model in enumerate(policy.models):
        path = f"models[{index}]"
        try:
            profile_of(model)
        except UnknownProfile as error:
            problems.append(Problem(f"{path}.profileRef", str(error)))
            continue
        for number, (variant, pool) in enumerate(policy.variants(model)):
            try:
                speed_of(model, variant, pool)
            except UnknownProfile as error:
                problems.append(Problem(f"{path}.variants[{number}].profileRef", str(error)))
    return problems
