"""The endpoints file, as operators write it and as they get it wrong."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.discovered import Discovered, EndpointSpec
from gateway.datalayer.endpoints_file import parse, usable
from gateway.request.model_rules import ModelRewrite, Rule, Target
from loadstar.config.errors import ConfigError

WHOLE = """\
endpoints:
- name: vllm-0
  address: 10.0.0.1
  port: "8000"
- name: vllm-1
  namespace: serving
  address: "FD00:0::0001"
  port: 8000
  metricsPort: "9100"
  labels:
    llm-d.ai/engine-type: sglang
objectives:
- {name: critical, priority: 10}
- {name: batch, priority: -1}
- {name: usual}
rewrites:
- name: canary
  rules:
  - matches:
    - model: {type: Exact, value: food-review}
    - model: {value: food}
    targets:
    - {weight: 9, modelRewrite: food-v1}
    - {weight: 1, modelRewrite: food-v2}
  - targets:
    - modelRewrite: base
"""


def entry(**fields: object) -> dict[str, object]:
    return {"name": "a", "address": "10.0.0.1", "port": "8000"} | fields


def of(*entries: dict[str, object], **more: object) -> str:
    return json.dumps({"endpoints": entries, **more})


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    return [str(problem) for problem in raised.value.problems]


def test_a_whole_file() -> None:
    assert parse(WHOLE) == Discovered(
        endpoints=(
            EndpointSpec(name="vllm-0", address="10.0.0.1", port=8000),
            EndpointSpec(
                name="vllm-1",
                namespace="serving",
                address="fd00::1",
                port=8000,
                metrics_port=9100,
                labels={"llm-d.ai/engine-type": "sglang"},
            ),
        ),
        objectives={"critical": 10, "batch": -1, "usual": 0},
        rewrites=(
            ModelRewrite(
                "canary",
                (
                    Rule(
                        ("food-review", "food"),
                        (Target(9, "food-v1"), Target(1, "food-v2")),
                    ),
                    Rule((), (Target(0, "base"),)),
                ),
            ),
        ),
    )


def test_nobody_is_said_in_so_many_words() -> None:
    assert parse("endpoints: []") == Discovered()


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "endpoints:\n", "{}"])
def test_a_file_that_says_nothing_does_not_empty_the_pool(text: str) -> None:
    assert problems(text) == ["endpoints: is required"]


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("FD00:0:0:0::A", "fd00::a"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
    ],
)
def test_an_address_has_one_spelling(address: str, canonical: str) -> None:
    assert parse(of(entry(address=address))).endpoints[0].address == canonical


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"adress": "x"}, "endpoints[0].adress: unknown key, did you mean address?"),
        ({"name": ""}, 'endpoints[0].name: must not be empty, not ""'),
        ({"name": None}, "endpoints[0].name: is required"),
        ({"name": 5}, "endpoints[0].name: must be a string, not 5"),
        (
            {"address": "vllm.local"},
            'endpoints[0].address: must be an IP address, not "vllm.local"; '
            "host names are not resolved",
        ),
        (
            {"address": "[::1]"},
            'endpoints[0].address: must be an IP address, not "[::1]"; write IPv6 without brackets',
        ),
        (
            {"address": "fe80::1%eth0"},
            'endpoints[0].address: must be an IP address without a zone, not "fe80::1%eth0"',
        ),
        (
            {"address": "10.0.0.256"},
            'endpoints[0].address: must be an IP address, not "10.0.0.256"',
        ),
        ({"address": "010.0.0.1"}, 'endpoints[0].address: must be an IP address, not "010.0.0.1"'),
        ({"port": "0"}, 'endpoints[0].port: must be between 1 and 65535, not "0"'),
        ({"port": 65536}, "endpoints[0].port: must be between 1 and 65535, not 65536"),
        ({"port": "http"}, 'endpoints[0].port: must be a port, 1 to 65535, not "http"'),
        ({"port": "-1"}, 'endpoints[0].port: must be a port, 1 to 65535, not "-1"'),
        ({"port": True}, "endpoints[0].port: must be a whole number, not true"),
        ({"metricsPort": 0}, "endpoints[0].metricsPort: must be between 1 and 65535, not 0"),
        ({"labels": {"a": 1}}, "endpoints[0].labels.a: must be a string, not 1"),
        ({"labels": ["a"]}, "endpoints[0].labels: must be a mapping, not a list"),
    ],
)
def test_a_bad_entry_is_named(fields: dict[str, object], problem: str) -> None:
    assert problems(of(entry(**fields))) == [problem]


def test_every_problem_is_told_at_once() -> None:
    assert problems(of(entry(port=0), entry(name="b", address="x"), {})) == [
        "endpoints[0].port: must be between 1 and 65535, not 0",
        'endpoints[1].address: must be an IP address, not "x"; host names are not resolved',
        "endpoints[2].name: is required",
        "endpoints[2].address: is required",
        "endpoints[2].port: is required",
    ]


def test_repeats_are_named() -> None:
    text = of(
        entry(),
        entry(port="8001"),
        entry(namespace="other", address="::ffff:10.0.0.1", port=8000),
        objectives=[{"name": "o"}, {"name": "o"}],
    )
    assert problems(text) == [
        "endpoints[0].name: default/a comes again at endpoints[1]",
        "endpoints[0].address: 10.0.0.1:8000 comes again at endpoints[2]",
        "objectives[0].name: o comes again at objectives[1]",
    ]


def test_what_can_be_used_of_a_file_is_all_but_the_bad_entries() -> None:
    """The last of those that share a name is meant, as in the router."""
    text = of(
        entry(),
        entry(port="8001"),
        entry(name="b", address="10.0.0.2"),
        entry(name="c", address="10.0.0.3", port="none"),
    )
    discovered, wrong = usable(text)
    assert [(spec.name, spec.port) for spec in discovered.endpoints] == [("a", 8001), ("b", 8000)]
    with pytest.raises(ConfigError) as caught:
        wrong.raise_if_any()
    assert [problem.path for problem in caught.value.problems] == [
        "endpoints[3].port",
        "endpoints[0].name",
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(of(entry(port=0)), id="no entry is left"),
        pytest.param(of(entry(), entry(port=0), objectives=[{"name": ""}]), id="trouble elsewhere"),
    ],
)
def test_a_file_may_be_of_no_use(text: str) -> None:
    with pytest.raises(ConfigError):
        usable(text)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"objective": []}, "objective: unknown key, did you mean objectives?"),
        ({"objectives": [{"priority": 1}]}, "objectives[0].name: is required"),
        (
            {"objectives": [{"name": "o", "priority": 2**31}]},
            "objectives[0].priority: must fit into 32 bits, not 2147483648",
        ),
        (
            {"rewrites": [{"name": "r", "rules": [{"targets": []}]}]},
            "rewrites[0].rules[0].targets: must not be empty, not a list",
        ),
        (
            {"rewrites": [{"name": "r", "rules": [{"targets": [{"modelRewrite": ""}]}]}]},
            'rewrites[0].rules[0].targets[0].modelRewrite: must not be empty, not ""',
        ),
        (
            {
                "rewrites": [
                    {
                        "name": "r",
                        "rules": [
                            {
                                "matches": [{"model": {"type": "Regex", "value": "x"}}],
                                "targets": [{"modelRewrite": "y"}],
                            }
                        ],
                    }
                ]
            },
            'rewrites[0].rules[0].matches[0].model.type: must be Exact, not "Regex"',
        ),
    ],
)
def test_bad_objectives_and_rewrites_are_named(more: dict[str, object], problem: str) -> None:
    assert problems(of(**more)) == [problem]


@given(st.text())
def test_no_text_does_worse_than_a_named_problem(text: str) -> None:
    with suppress(ConfigError):
        parse(text)


@given(st.integers(0, len(WHOLE) - 1))
def test_half_a_file_is_refused_or_has_fewer_entries(length: int) -> None:
    """Never another endpoint than those in the whole file, unless cut inside a value."""
    try:
        part = parse(WHOLE[:length])
    except ConfigError:
        return
    assert len(part.endpoints) <= 2
