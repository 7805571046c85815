"""Model names that a label selector can hold, and what paths may call objects."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_adapter.catalog import resource_called, resource_of, sanitized, with_model

LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


def test_a_slash_becomes_two_dashes_and_nothing_else_changes() -> None:
    assert sanitized("meta-llama/Llama-3.1-8B") == "meta-llama--Llama-3.1-8B"
    assert sanitized("qwen3-32b") == "qwen3-32b"


def test_names_that_would_look_alike_are_told_apart() -> None:
    assert len({sanitized("a:b"), sanitized("a b"), sanitized("a-b")}) == 3
    assert sanitized("x" * 100) != sanitized("x" * 101)


@given(st.text(min_size=1))
def test_every_name_becomes_a_label_value(name: str) -> None:
    value = sanitized(name)

    assert value
    assert len(value) <= 63
    assert LABEL_VALUE.fullmatch(value)


def test_the_raw_name_stays_beside_it() -> None:
    assert with_model({"model_id": "a/b", "x": "y"}) == {
        "model_id": "a/b",
        "x": "y",
        "model_name": "a/b",
        "model": "a--b",
    }
    assert with_model({"x": "y"}) == {"x": "y"}


@pytest.mark.parametrize(
    ("word", "resource"),
    [
        ("pods", "pods"),
        ("pod", "pods"),
        ("po", "pods"),
        ("deployment.apps", "deployments.apps"),
        ("deployments", "deployments.apps"),
        ("inferencepool.inference.networking.k8s.io", "inferencepools.inference.networking.k8s.io"),
        ("widgets.example.com", "widgets.example.com"),
    ],
)
def test_paths_may_call_objects_by_several_words(word: str, resource: str) -> None:
    assert resource_called(word) == resource


@pytest.mark.parametrize(
    ("kind", "api_version", "resource"),
    [
        ("Pod", "", "pods"),
        ("Pod", "v1", "pods"),
        ("InferencePool", "", "inferencepools.inference.networking.k8s.io"),
        ("Deployment", "apps/v1", "deployments.apps"),
        ("Gateway", "gateway.networking.k8s.io/v1", "gateways.gateway.networking.k8s.io"),
        ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies.networking.k8s.io"),
        ("Ingress", "networking.k8s.io/v1", "ingresses.networking.k8s.io"),
    ],
)
def test_kinds_are_of_resources(kind: str, api_version: str, resource: str) -> None:
    assert str(resource_of(kind, api_version)) == resource
