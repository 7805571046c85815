"""The command: whose policy it reads, and which models it calls unknown to the gateways."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoscaler.actuate.preflight.finding import Level
from autoscaler.commands.preflight import main, spoken_of
from autoscaler.policy.model import load_policy


def test_a_name_that_differs_by_a_letter_from_what_gateways_say_is_short() -> None:
    """To the autoscaler it would look like no demand at all, for ever."""
    named = load_policy("models: [{name: llama-8}, {name: other}]\npools: [{name: p}]")
    assert [(each.level, each.text) for each in spoken_of(named, {"llama-8b"})] == [
        (Level.SHORT, "no gateway speaks of it, did you mean llama-8b?"),
        (Level.NOTE, "no gateway speaks of it"),
    ]


def test_a_name_like_that_of_another_model_of_ours_is_no_mistake() -> None:
    named = load_policy("models: [{name: llama-8b}, {name: llama-8}]\npools: [{name: p}]")
    assert [each.level for each in spoken_of(named, {"llama-8b"})] == [Level.OK, Level.NOTE]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"models: [{name: m}]\npools: [{nam: p}]\n", "p.yaml: pools[0].nam: unknown key"),
        (b"\xff", "p.yaml: not UTF-8: invalid start byte at byte 0; save it as UTF-8"),
        (b"kind: ConfigMap\ndata: {}\n", "p.yaml: data: the key autoscaler.yaml is missing"),
    ],
)
def test_a_policy_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, says: str
) -> None:
    (tmp_path / "p.yaml").write_bytes(content)
    assert main(["--policy", str(tmp_path / "p.yaml"), "--skip-google", "--skip-cluster"]) == 2
    assert says in capsys.readouterr().err


def test_a_policy_may_stand_in_a_config_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.yaml").write_text(
        'kind: ConfigMap\ndata: {autoscaler.yaml: "{models: [{name: m}], pools: [{name: p}]}"}\n'
    )
    assert main(["--policy", str(tmp_path / "p.yaml"), "--skip-google", "--skip-cluster"]) == 0
    assert capsys.readouterr().out == "nothing to look at\n"
