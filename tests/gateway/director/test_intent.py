"""Which model is meant, how urgent it is and whose it is."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.director.intent import LABEL_CHARACTERS, check, label, read
from gateway.errors import BadRequest
from gateway.request.model import Dialect, Headers, InferenceRequest
from gateway.request.model_rules import ModelRewrite, Rule, Target
from tests.builders import request
from tests.gateway.director.fakes import rewritable

TO_BASE = ModelRewrite("canary", (Rule(("llama",), (Target(1, "llama-base"),)),))
RNG = random.Random(1)


@pytest.mark.parametrize(
    ("headers", "priority"),
    [
        pytest.param({}, 0, id="no objective"),
        pytest.param({"x-gateway-inference-objective": "batch"}, -2, id="old name"),
        pytest.param({"x-llm-d-inference-objective": "chat"}, 9, id="new name"),
        pytest.param(
            {"x-llm-d-inference-objective": "chat", "x-gateway-inference-objective": "batch"},
            9,
            id="the new name wins",
        ),
        pytest.param(
            {"x-llm-d-inference-objective": " ", "x-gateway-inference-objective": "batch"},
            -2,
            id="a blank one says nothing",
        ),
        pytest.param({"x-llm-d-inference-objective": " chat\t"}, 9, id="blanks around"),
        pytest.param({"x-llm-d-inference-objective": "unheard-of"}, 0, id="unknown objective"),
    ],
)
def test_the_objective_gives_the_priority(headers: Mapping[str, str], priority: int) -> None:
    intent = read(request(headers=headers), {"batch": -2, "chat": 9}, (), RNG)
    assert intent.traffic.priority == priority


@pytest.mark.parametrize(
    ("headers", "flow"),
    [
        pytest.param({}, "default-flow", id="nobody's"),
        pytest.param({"x-gateway-inference-fairness-id": "team-a"}, "team-a", id="old name"),
        pytest.param(
            {
                "x-gateway-inference-fairness-id": "team-a",
                "x-llm-d-inference-fairness-id": "team-b",
            },
            "team-b",
            id="the new name wins",
        ),
    ],
)
def test_the_fairness_id_names_the_flow(headers: Mapping[str, str], flow: str) -> None:
    assert read(request(headers=headers), {}, (), RNG).traffic.fairness_id == flow


def test_without_a_rewrite_the_clients_model_is_meant() -> None:
    intent = read(rewritable(request(model="llama")), {}, (), RNG)
    assert (intent.target_model, intent.rewrite_to, intent.rule) == ("llama", None, None)


def test_an_operators_rewrite_decides() -> None:
    intent = read(rewritable(request(model="llama")), {}, (TO_BASE,), RNG)
    assert (intent.target_model, intent.rewrite_to) == ("llama-base", "llama-base")
    assert intent.rule == "canary"
    assert intent.traffic[:2] == ("llama", "llama-base")


def test_a_rewrite_to_the_same_name_leaves_the_body_alone_but_is_a_decision() -> None:
    same = ModelRewrite("keep", (Rule(("llama",), (Target(1, "llama"),)),))
    intent = read(rewritable(request(model="llama")), {}, (same,), RNG)
    assert (intent.rewrite_to, intent.rule) == (None, "keep")


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        pytest.param({"x-gateway-model-name-rewrite": "llama-q4"}, "llama-q4", id="old name"),
        pytest.param(
            {"x-gateway-model-name-rewrite": "a", "x-llm-d-model-name-rewrite": "b"},
            "b",
            id="the new name wins",
        ),
        pytest.param({"x-llm-d-model-name-rewrite": ""}, "llama", id="a blank one says nothing"),
    ],
)
def test_a_client_may_name_another_model_in_a_header(
    headers: Mapping[str, str], target: str
) -> None:
    intent = read(rewritable(request(model="llama", headers=headers)), {}, (), RNG)
    assert intent.target_model == target


def test_an_operators_rewrite_goes_before_the_clients_header() -> None:
    asked = request(model="llama", headers={"x-llm-d-model-name-rewrite": "client-choice"})
    assert read(rewritable(asked), {}, (TO_BASE,), RNG).target_model == "llama-base"


def test_a_rule_about_another_model_leaves_the_header_its_say() -> None:
    asked = request(model="other", headers={"x-llm-d-model-name-rewrite": "client-choice"})
    assert read(rewritable(asked), {}, (TO_BASE,), RNG).target_model == "client-choice"


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(body=False), id="headers alone"),
        pytest.param(request(model="", dialect=Dialect.OPAQUE), id="opaque body"),
    ],
)
def test_what_has_no_model_to_replace_is_never_rewritten(asked: InferenceRequest) -> None:
    match_all = ModelRewrite("all", (Rule((), (Target(1, "llama-base"),)),))
    headers = Headers([("x-llm-d-model-name-rewrite", "b")])
    intent = read(replace(asked, headers=headers), {}, (match_all,), RNG)
    assert (intent.target_model, intent.rewrite_to, intent.rule) == ("", None, None)


def test_weights_are_drawn_from_the_given_chance() -> None:
    split = ModelRewrite("split", (Rule((), (Target(9, "stable"), Target(1, "canary"))),))
    rng = random.Random(7)
    asked = rewritable(request(model="llama"))
    drawn = [read(asked, {}, (split,), rng).target_model for _ in range(1000)]
    assert 60 < drawn.count("canary") < 140


def test_a_model_that_no_body_can_carry_is_a_bad_request() -> None:
    asked = request(model="llama", headers={"x-llm-d-model-name-rewrite": "ll\udcffama"})
    with pytest.raises(BadRequest, match="x-llm-d-model-name-rewrite: not valid UTF-8"):
        check(read(rewritable(asked), {}, (), RNG))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("llama", "llama", id="as it is"),
        pytest.param("lläma", "lläma", id="any script"),
        pytest.param("ll\udcffama", "ll?ama", id="bytes that are no text"),
        pytest.param("x" * 9000, "x" * LABEL_CHARACTERS, id="endless"),
    ],
)
def test_a_label_can_be_shown_whatever_the_client_sent(text: str, shown: str) -> None:
    assert label(text) == shown
