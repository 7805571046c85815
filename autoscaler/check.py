"""What ``loadstar check`` asks the autoscaler: whether its policies are right.

A policy is read exactly as at start-up; the profiles that it names are looked up, and what is
allowed but likely not meant is remarked upon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from autoscaler.capacity.curve import ServiceCurve
from autoscaler.capacity.profiles import UnknownProfile, profile_of, unknown_profiles
from autoscaler.capacity.work import WorkModel
from autoscaler.policy.model import KIND, Mode, ModelPolicy, Policy, ServiceClass, load_policy
from autoscaler.policy.pools import PoolMode
from loadstar.config.document import Value
from loadstar.config.errors import ConfigError, Problem, Remark

KINDS = (KIND,)


def knows(document: Mapping[str, Value]) -> bool:
    """Whether it is a policy; its kind need not be written where nothing else has these keys."""
    if "kind" in document:
        return document["kind"] == KIND
    return "models" in document and "pools" in document


def check(document: Mapping[str, Value], place: str) -> list[Problem]:
    """Everything that is wrong with it, or else what there is to say."""
    try:
        policy = load_policy(document)
    except ConfigError as error:
        return [problem.within(place) for problem in error.problems]
    return [problem.within(place) for problem in _said(policy)]


def _said(policy: Policy) -> Iterator[Problem]:
    yield from unknown_profiles(policy)
    for index, model in enumerate(policy.models):
        path = f"models[{index}]"
        try:
            profile = profile_of(model)
        except UnknownProfile:
            continue
        work = WorkModel.of(profile)
        shape = (model.typical_input_tokens, model.typical_output_tokens)
        load = profile.sustainable_load or ServiceCurve.of(work, *shape).sustainable_load(
            model.slo_ttft_p95_s
        )
        rps = load / work.request_s(*shape)
        yield Remark(
            path,
            f"a replica is taken to sustain {rps:.2f} requests/s of "
            f"{shape[0]:g} + {shape[1]:g} tokens",
        )
        yield from _of_pools(policy, model, path)
    observing = [p.name for p in policy.pools if p.mode is PoolMode.OBSERVE]
    if policy.mode is Mode.ACTIVE and len(observing) == len(policy.pools):
        yield Remark("mode", "active, but every pool's mode is observe: nothing will be resized")


def _of_pools(policy: Policy, model: ModelPolicy, path: str) -> Iterator[Problem]:
    pools = [pool for _, pool in policy.variants(model)]
    spot = [pool for pool in pools if pool.spot]
    if len(spot) == len(pools) == 1 and model.service_class is ServiceClass.INTERACTIVE:
        yield Remark(
            path, f"runs on the spot pool {spot[0].name} alone: nothing is left when it goes"
        )
    most = sum(pool.limit_units() * pool.replicas_per_unit for pool in pools)
    if most < model.max_replicas:
        yield Remark(
            f"{path}.maxReplicas", f"{model.max_replicas}, but the pools hold {most} at most"
        )
