"""Which model a rewrite asks for: precedence and weights of InferenceModelRewrite."""

from __future__ import annotations

import random
from collections import Counter

from gateway.request.model_rules import ModelRewrite, Rule, Target, choose


def rewrite(name: str, *rules: Rule) -> ModelRewrite:
    return ModelRewrite(name, rules)


def to(model: str, *matches: str) -> Rule:
    return Rule(matches, (Target(1, model),))


def draws(rule: Rule, times: int = 4000) -> Counter[str]:
    rng = random.Random(7)
    chosen = (choose([rewrite("r", rule)], "m", rng) for _ in range(times))
    return Counter(choice[1] for choice in chosen if choice is not None)


def test_no_rule_about_the_model_is_no_choice() -> None:
    assert choose([rewrite("r", to("x", "other"))], "m", random.Random(1)) is None
    assert choose([], "m", random.Random(1)) is None


def test_an_exact_match_beats_an_earlier_match_all() -> None:
    rewrites = [rewrite("all", to("x")), rewrite("exact", to("y", "a", "m"))]
    assert choose(rewrites, "m", random.Random(1)) == ("exact", "y")
    assert choose(rewrites, "z", random.Random(1)) == ("all", "x")


def test_among_equals_the_first_in_the_list_wins() -> None:
    rewrites = [rewrite("a", to("1", "m"), to("2", "m")), rewrite("b", to("3", "m"))]
    assert choose(rewrites, "m", random.Random(1)) == ("a", "1")


def test_a_rule_without_targets_is_passed_over() -> None:
    rewrites = [rewrite("empty", Rule(("m",), ())), rewrite("all", to("x"))]
    assert choose(rewrites, "m", random.Random(1)) == ("all", "x")


def test_targets_are_drawn_by_weight() -> None:
    drawn = draws(Rule((), (Target(3, "a"), Target(1, "b"), Target(0, "never"))))
    assert set(drawn) == {"a", "b"}
    assert 0.72 < drawn["a"] / drawn.total() < 0.78


def test_targets_without_any_weight_are_drawn_alike() -> None:
    drawn = draws(Rule((), (Target(0, "a"), Target(0, "b"))))
    assert 0.47 < drawn["a"] / drawn.total() < 0.53


def test_the_same_seed_gives_the_same_choices() -> None:
    rule = Rule((), (Target(1, "a"), Target(1, "b")))
    assert draws(rule, 50) == draws(rule, 50)
