"""InferenceObjective and InferenceModelRewrite documents -> values, and which of them count. Pure.

Both kinds exist in two groups. Where llm-d.ai's is installed it is the only one asked; the older
inference.networking.x-k8s.io is for clusters that have no other. Objectives of llm-d.ai have two
versions: v1 names several pools, or their labels, where v1alpha2 names one. A server may show one
object in both, in which one of the two has lost its pools; so an object means what v1 says of this
pool, and else what v1alpha2 says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.request.model_rules import ModelRewrite, Rule, Target
from loadstar.kube import selectors
from loadstar.kube.objects import NO_TEXTS, items, mapping, meta, text, whole
from loadstar.kube.resources import LLMD_GROUP
from loadstar.kube.selectors import Selector

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PoolName:
    """Whose objectives and rewrites are wanted."""

    name: str
    """Empty is any pool of the namespace."""
    group: str
    labels: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)
    """The pool's own; of an object's reference none."""

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
    pools: tuple[PoolName, ...]
    priority: int
    selector: Selector | None = None
    """Of pools by their labels; None selects none."""
    terminating: bool = False

    def means(self, pool: PoolName) -> bool:
        """Whether it is for ``pool``, and not being deleted."""
        if self.terminating:
            return False
        if any(pool.meant_by(ref) for ref in self.pools):
            return True
        return self.selector is not None and (not pool.name or self.selector.matches(pool.labels))


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Which models are asked for instead of which."""

    name: str
    pool: PoolName
    created: str
    rules: tuple[Rule, ...]
    terminating: bool = False


def objective(document: Mapping[str, Any]) -> Objective:
    """Of either group and any version. Raises ValueError."""
    spec = mapping(document.get("spec"), "spec")
    about = meta(document, annotations=NOTHING)
    refs = items(spec.get("poolRefs"), "spec.poolRefs")
    if spec.get("poolRef") is not None:
        refs.append(mapping(spec["poolRef"], "spec.poolRef"))
    selector = None
    if spec.get("poolSelector"):  # an empty one would be every pool: it is nobody's intention
        selector = selectors.from_object(mapping(spec["poolSelector"], "spec.poolSelector"))
    return Objective(
        about.name,
        tuple(_named(ref) for ref in refs),
        whole(spec, "priority"),
        selector,
        about.terminating,
    )


def rewrite(document: Mapping[str, Any]) -> Rewrite:
    """Of either group. Raises ValueError."""
    about = meta(document, annotations=NOTHING)
    spec = mapping(document.get("spec"), "spec")
    rules = tuple(_rule(rule) for rule in items(spec.get("rules"), "spec.rules"))
    return Rewrite(about.name, _pool(spec), about.created, rules, about.terminating)


def priorities(objectives: Iterable[Objective], pool: PoolName) -> Mapping[str, int]:
    """Objective name -> priority, of those that are ``pool``'s; of one name the first counts."""
    found: dict[str, int] = {}
    for each in objectives:
        if each.means(pool):
            found.setdefault(each.name, each.priority)
    return MappingProxyType(found)


def precedence(rewrites: Iterable[Rewrite], pool: PoolName) -> tuple[ModelRewrite, ...]:
    """Those of ``pool`` that are to stay, the oldest first; of one age, by name."""
    mine = [r for r in rewrites if pool.meant_by(r.pool) and not r.terminating]
    mine.sort(key=lambda r: (r.created, r.name))
    return tuple(ModelRewrite(r.name, r.rules) for r in mine)


def _pool(spec: Mapping[str, Any]) -> PoolName:
    return _named(mapping(spec.get("poolRef"), "spec.poolRef"))


def _named(ref: Mapping[str, Any]) -> PoolName:
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
