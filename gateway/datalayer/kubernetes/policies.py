"""InferenceObjective and InferenceModelRewrite documents -> values, and which of them count. Pure.

Both kinds exist in two groups. Where llm-d.ai's is installed it is the only one asked; the older
inference.networking.x-k8s.io is for clusters that have no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.request.model_rules import ModelRewrite, Rule, Target
from loadstar.kube.objects import items, mapping, meta, text, whole
from loadstar.kube.resources import LLMD_GROUP

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PoolName:
    """Whose objectives and rewrites are wanted."""

    name: str
    """Empty is any pool of the namespace."""
    group: str

    def meant_by(self, ref: PoolName) -> bool:
        """Whether ``ref``, as an object's poolRef says it, is this pool.

        No InferencePool is in llm-d.ai: the kinds of that group have it as a default that nobody
        wrote, and it means the same as nothing.
        """
        return (not self.name or ref.name == self.name) and ref.group in (
            "",
            LLMD_GROUP,
            self.group,
        )


@dataclass(frozen=True, slots=True)
class Objective:
    """How urgent the requests are that name it."""

    name: str
    pool: PoolName
    priority: int


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Which models are asked for instead of which."""

    name: str
    pool: PoolName
    created: str
    rules: tuple[Rule, ...]


def objective(document: Mapping[str, Any]) -> Objective:
    """Of either group. Raises ValueError."""
    spec = mapping(document.get("spec"), "spec")
    name = meta(document, annotations=NOTHING).name
    return Objective(name, _pool(spec), whole(spec, "priority"))


def rewrite(document: Mapping[str, Any]) -> Rewrite:
    """Of either group. Raises ValueError."""
    about = meta(document, annotations=NOTHING)
    spec = mapping(document.get("spec"), "spec")
    rules = tuple(_rule(rule) for rule in items(spec.get("rules"), "spec.rules"))
    return Rewrite(about.name, _pool(spec), about.created, rules)


def priorities(objectives: Iterable[Objective], pool: PoolName) -> Mapping[str, int]:
    """Objective name -> priority, of those that are ``pool``'s."""
    return MappingProxyType({o.name: o.priority for o in objectives if pool.meant_by(o.pool)})


def precedence(rewrites: Iterable[Rewrite], pool: PoolName) -> tuple[ModelRewrite, ...]:
    """Those of ``pool``, the oldest first; of one age, by name."""
    mine = [r for r in rewrites if pool.meant_by(r.pool)]
    mine.sort(key=lambda r: (r.created, r.name))
    return tuple(ModelRewrite(r.name, r.rules) for r in mine)


def _pool(spec: Mapping[str, Any]) -> PoolName:
    ref = mapping(spec.get("poolRef"), "spec.poolRef")
    return PoolName(text(ref, "name"), str(ref.get("group") or ""))


def _rule(rule: Mapping[str, Any]) -> Rule:
    matches = []
    for match in items(rule.get("matches"), "spec.rules.matches"):
        model = mapping(match.get("model"), "spec.rules.matches.model")
        if model.get("type", "Exact") != "Exact":
            raise ValueError(f"spec.rules.matches.model.type: {model['type']} is not known")
        matches.append(text(model, "value"))
    targets = [
        Target(whole(target, "weight"), text(target, "modelRewrite"))
        for target in items(rule.get("targets"), "spec.rules.targets")
    ]
    return Rule(tuple(matches), tuple(targets))
