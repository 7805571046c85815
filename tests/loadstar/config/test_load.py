"""Documents become frozen values; whatever is wrong is named by its path, all at once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from enum import Enum
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.config.errors import ConfigError, Problem
from loadstar.config.load import (
    NOT_EMPTY,
    Fraction,
    Seconds,
    Whole,
    above,
    at_least,
    between,
    build,
    key,
    load,
    one_of,
)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Plugin:
    type: Annotated[str, NOT_EMPTY]
    weight: Annotated[float, at_least(0)] | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    plugins: tuple[Plugin, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    profiles: tuple[Profile, ...] = ()
    max_retries: Annotated[int, between(0, 10)] = 3
    timeout: Annotated[Seconds, above(0)] = 1.0
    memory: Whole = 0
    share: Fraction = 0.5
    lora: str = field(default="", metadata=key("loRA"))
    labels: Mapping[str, str] = field(default_factory=dict)
    color: Color = Color.RED
    mode: Annotated[str, one_of("fast", "slow")] = "fast"
    anything: object = None
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(Config, text)
    return [str(problem) for problem in caught.value.problems]


def test_a_whole_document() -> None:
    text = """
    profiles:
    - name: default
      plugins:
      - {type: queue, weight: 2}
      - {type: picker}
    maxRetries: 5
    timeout: 250ms
    memory: 16Gi
    share: 30%
    loRA: adapter
    labels: {app: vllm}
    color: blue
    mode: slow
    anything: {a: [1, x]}
    """
    loaded = load(Config, text)
    assert loaded == Config(
        profiles=(Profile("default", (Plugin("queue", 2.0), Plugin("picker"))),),
        max_retries=5,
        timeout=0.25,
        memory=16 * 2**30,
        share=0.3,
        lora="adapter",
        labels={"app": "vllm"},
        color=Color.BLUE,
        mode="slow",
        anything={"a": (1, "x")},
    )


def test_nothing_given_is_all_defaults() -> None:
    assert load(Config, "") == Config()


def test_null_is_the_same_as_absent() -> None:
    assert load(Config, "maxRetries: ~\nprofiles: null\nlabels:") == Config()


def test_what_is_loaded_cannot_be_changed() -> None:
    loaded = load(Config, "labels: {a: b}\nanything: {c: d}")
    with pytest.raises(FrozenInstanceError):
        loaded.max_retries = 1  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        loaded.labels["a"] = "c"  # type: ignore[index]  # that is the point


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "profiles: [{name: a, plugins: [{type: x}, {type: y}, {type: z, wieght: 1}]}]",
            "profiles[0].plugins[2].wieght: unknown key, did you mean weight?",
            id="a typo deep inside",
        ),
        pytest.param(
            "MaxRetries: 1", "MaxRetries: unknown key, did you mean maxRetries?", id="case"
        ),
        pytest.param(
            "max_retries: 1", "max_retries: unknown key, did you mean maxRetries?", id="snake"
        ),
        pytest.param("zzz: 1", "zzz: unknown key", id="nothing like it"),
        pytest.param("profiles: [{}]", "profiles[0].name: is required", id="required"),
        pytest.param("profiles: {}", "profiles: must be a list, not a mapping", id="list"),
        pytest.param("profiles: [~]", "profiles[0]: must not be null", id="null in a list"),
        pytest.param("profiles: [x]", 'profiles[0]: must be a mapping, not "x"', id="mapping"),
        pytest.param("maxRetries: true", "maxRetries: must be a whole number, not true", id="bool"),
        pytest.param(
            "maxRetries: 1.5", "maxRetries: must be a whole number, not 1.5", id="fraction"
        ),
        pytest.param("maxRetries: '3'", 'maxRetries: must be a whole number, not "3"', id="quoted"),
        pytest.param("maxRetries: 11", "maxRetries: must be between 0 and 10, not 11", id="bounds"),
        pytest.param("timeout: 5", "timeout: must be text with a unit, not 5", id="no unit"),
        pytest.param(
            "timeout: 5 s",
            "timeout: '5 s' is not a duration like 250ms or 1m30s",
            id="bad unit",
        ),
        pytest.param("timeout: 0s", 'timeout: must be more than 0, not "0s"', id="bound of a unit"),
        pytest.param("lora: x", "lora: unknown key, did you mean loRA?", id="a key of its own"),
        pytest.param("labels: {a: 1}", "labels.a: must be a string, not 1", id="mapping value"),
        pytest.param(
            "color: blu",
            'color: must be one of red, blue, not "blu", did you mean blue?',
            id="enum",
        ),
        pytest.param("mode: faster", 'mode: must be fast or slow, not "faster"', id="one of"),
        pytest.param(
            "profiles: [{name: a, plugins: [{type: ''}]}]",
            'profiles[0].plugins[0].type: must not be empty, not ""',
            id="empty",
        ),
        pytest.param(
            "profiles: [{name: a, plugins: [{type: x, weight: .nan}]}]",
            "profiles[0].plugins[0].weight: must be a finite number, not nan",
            id="not a number",
        ),
        pytest.param(
            f"profiles: [{{name: a, plugins: [{{type: x, weight: {'9' * 400}}}]}}]",
            f"profiles[0].plugins[0].weight: must be a finite number, not {'9' * 77}...",
            id="a whole number beyond any float",
        ),
        pytest.param("{low: 5, high: 1}", "low must not be above high", id="fields that disagree"),
        pytest.param("[]", "must be a mapping, not a list", id="not a mapping at all"),
    ],
)
def test_a_problem_names_its_path(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_every_problem_is_told_at_once() -> None:
    assert problems("profiles: [{nam: a}]\nmaxRetries: x\ntimeout: 1\ncolor: 3") == [
        "profiles[0].nam: unknown key, did you mean name?",
        "profiles[0].name: is required",
        'maxRetries: must be a whole number, not "x"',
        "timeout: must be text with a unit, not 1",
        "color: must be one of red, blue, not 3",
    ]


def test_a_value_inside_a_document_is_named_from_its_root() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Plugin, {"type": "x", "weight": -1}, "plugins[3]")
    assert caught.value.problems == (Problem("plugins[3].weight", "must be at least 0, not -1"),)


def test_a_long_value_is_not_repeated_in_full() -> None:
    (problem,) = problems(f"maxRetries: {'x' * 5000}")
    assert len(problem) < 150


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["profiles", "name", "type", "timeout", "labels", "low"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
def test_no_value_does_worse_than_a_config_error(value: object) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(build(Config, value), Config)
