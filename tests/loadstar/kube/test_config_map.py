"""Which text of a ConfigMap is the configuration, and what is said where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.command_line import parse
from loadstar.config.errors import ConfigError
from loadstar.kube.config_map import ConfigMapRef


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("prod/gateway", ConfigMapRef("prod", "gateway"), id="the only key"),
        pytest.param("prod/g.w/a_b.yaml", ConfigMapRef("prod", "g.w", "a_b.yaml"), id="a key"),
    ],
)
def test_a_reference_is_read_and_written(text: str, expected: ConfigMapRef) -> None:
    assert ConfigMapRef.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("gateway", "is not NAMESPACE/NAME", id="no namespace"),
        pytest.param("a/b/c/d", "is not NAMESPACE/NAME", id="too much"),
        pytest.param("Prod/x", "'Prod' cannot be the namespace", id="upper case"),
        pytest.param("prod/", "'' cannot be the name", id="no name"),
        pytest.param("prod/x/a b", "'a b' cannot be the key", id="a blank"),
        pytest.param("prod/../secrets", "'..' cannot be the name", id="a path"),
    ],
)
def test_what_is_no_reference_is_a_usage_error(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse(["--config-map", text])


def test_there_is_one_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["--config-text=a: 1", "--config-map=prod/x"])
    assert [str(problem) for problem in caught.value.problems] == [
        "--config-map: cannot be given together with --config-text"
    ]


@pytest.mark.parametrize(
    ("key", "document"),
    [
        pytest.param("", {"data": {"any": "text"}}, id="the only one"),
        pytest.param("b", {"data": {"a": "other", "b": "text"}}, id="the one that is named"),
        pytest.param("b", {"data": {"b": "text"}, "binaryData": {"c": ""}}, id="beside binary"),
    ],
)
def test_the_text_of_a_key(key: str, document: dict[str, Any]) -> None:
    assert ConfigMapRef("prod", "x", key).of(document) == b"text"


@pytest.mark.parametrize(
    ("key", "document", "problem"),
    [
        pytest.param(
            "",
            {"data": {"b": "", "a": ""}},
            "data: one key is expected and there are: a, b; name it in --config-map",
            id="which one",
        ),
        pytest.param(
            "", {}, "data: one key is expected and there are: none; name it in --config-map", id="0"
        ),
        pytest.param(
            "c", {"data": {"a": ""}}, "data[c]: is missing; there are: a", id="another one"
        ),
        pytest.param(
            "c", {"binaryData": {"c": ""}}, "binaryData[c]: must be text, under data", id="binary"
        ),
    ],
)
def test_a_key_that_is_not_there(key: str, document: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ConfigMapRef("prod", "x", key).of(document)
    assert str(caught.value) == problem
