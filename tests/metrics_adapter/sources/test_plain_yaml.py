"""The quick reader reads what the careful one does, or says that it cannot."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadstar.config.errors import ConfigError
from metrics_adapter.sources import plain_yaml, yaml_events

BLOCK = """samples:
- object:
    kind: Pod
    namespace: lab
    name: vllm-0
  metric: prometheus.googleapis.com|vllm:num_requests_waiting|gauge

  labels: {model: qwen, "x": 'a b'}
  value: -1.5e3
  timestamp: 2026-11-23T05:51:31Z
  window_s: 60
- {external: true, metric: q, labels: {}, value: "2k", timestamp: now}
"""


def test_both_styles_are_read() -> None:
    plain = plain_yaml.read(BLOCK.replace('"x"', "x"))

    assert plain == yaml_events.read(BLOCK)
    assert plain["samples"][1] == {
        "external": "true",
        "metric": "q",
        "labels": {},
        "value": "2k",
        "timestamp": "now",
    }


def test_what_a_program_dumps_is_read_in_either_style() -> None:
    rows = [
        {
            "object": {"kind": "Pod", "namespace": "lab", "name": f"p{n}"},
            "metric": "m",
            "labels": {"model": "a--b"},
            "value": n / 2,
            "timestamp": "now",
        }
        for n in range(3)
    ]
    for style in (False, None):
        text = yaml.safe_dump({"samples": rows}, default_flow_style=style)
        assert plain_yaml.read(text) == yaml_events.read(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: b",
        "samples: []",
        "samples:\n- a: null",
        "samples:\n- a:\n  b: c",
        "samples:\n- a: 1\n  a: 2",
        "samples:\n- a: 'it''s'",
        'samples:\n- a: "\\n"',
        "samples:\n- a: two words",
        "samples:\n- a: b # why",
        "# why\nsamples:\n- a: b",
        "samples:\n- a: &x b",
        "samples:\n- a: |\n    b",
        "samples:\n- a: {b: c\n    }",
        "samples:\n- a: [b]",
        "samples:\n - a: b\n- c: d",
        "samples:\n- a: b\n   c: d",
        "samples:\n- a: {b: {c: {d: {e: f}}}}",
        "---\nsamples:\n- a: b",
        "samples:\n- a: b\nother: c",
        "samples:\n\t- a: b",
    ],
)
def test_all_else_is_left_to_who_reads_all_of_yaml(text: str) -> None:
    assert plain_yaml.read(text) is None


PIECES = """samples: |- |  |    |a:|b:| c| 'd'| "e"| ''| {f: g}| {f: {h: i}}| {f: 'x, y: z'}|
|
|
- |
  |
    |-1|.nan|:x|{|}|, |: |null|#"""
pieces = st.sampled_from(PIECES.split("|"))


@given(st.lists(pieces, max_size=25).map("".join))
def test_whatever_is_read_is_read_as_yaml_would_be(text: str) -> None:
    for tried in (text, f"samples:\n- {text}", f"samples:\n- a: b\n  {text}\n"):
        plain = plain_yaml.read(tried)
        if plain is not None:
            try:
                assert plain == yaml_events.read(tried)
            except (yaml.YAMLError, ConfigError) as error:
                raise AssertionError(f"{tried!r} is not YAML") from error
