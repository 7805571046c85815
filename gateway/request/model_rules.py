"""Model rewrite rules and the choice among them (InferenceModelRewrite). Pure.

Discovery fills the rules, the director asks for a choice per request; the bytes are changed by
``rewrite.with_model``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A model that may be asked for instead, and how often compared with its siblings."""

    weight: int
    """Relative; 0 is never, unless every sibling is 0 too: then all are alike."""
    model: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests for any of ``matches`` (no matches: for any model) go to one of ``targets``."""

    matches: tuple[str, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class ModelRewrite:
    """One InferenceModelRewrite object: a named list of rules."""

    name: str
    rules: tuple[Rule, ...]


def choose(
    rewrites: Sequence[ModelRewrite], model: str, rng: random.Random
) -> tuple[str, str] | None:
    """(name of the rewrite, model to ask for) of ``model``; None if no rule is about it.

    An exact match beats a match-all rule wherever they stand; among equals the first in order of
    the list wins, so the caller sorts by age.
    """
    for rules in (_exact(rewrites, model), _match_all(rewrites)):
        for name, rule in rules:
            return name, _draw(rule.targets, rng).model
    return None


def _exact(rewrites: Sequence[ModelRewrite], model: str) -> Iterator[tuple[str, Rule]]:
    for rewrite in rewrites:
        for rule in rewrite.rules:
            if rule.targets and model in rule.matches:
                yield rewrite.name, rule


def _match_all(rewrites: Sequence[ModelRewrite]) -> Iterator[tuple[str, Rule]]:
    for rewrite in rewrites:
        for rule in rewrite.rules:
            if rule.targets and not rule.matches:
                yield rewrite.name, rule


def _draw(targets: tuple[Target, ...], rng: random.Random) -> Target:
    if len(targets) == 1:
        return targets[0]
    weights = [max(0, target.weight) for target in targets]
    if not any(weights):
        return rng.choice(targets)
    return rng.choices(targets, weights)[0]
