"""Profiles are shown, fitted and recommended on the command line; mistakes are named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoscaler.commands.profile import main
from autoscaler.policy.model import load_policy

BASE_S, SLOPE_S, PREFILL_S = 0.012, 0.00015, 0.00008
INPUT, OUTPUT = 500.0, 200.0


def sweep(folder: Path) -> Iterator[Path]:
    """Results of ``vllm bench serve`` on an engine whose step times are known."""
    for rate in (0.5, 1.0, 2.0, 4.0, 6.0):
        # Little's law: tpot = base + slope * (rate * tpot * (output - 1)) + prefills in between.
        busy = SLOPE_S * rate * (OUTPUT - 1) + PREFILL_S * rate * INPUT
        tpot = BASE_S / (1.0 - busy)
        ttft = tpot / 2 + PREFILL_S * INPUT
        completed = 300
        path = folder / f"rate-{rate}.json"
        path.write_text(
            json.dumps(
                {
                    "completed": completed,
                    "request_throughput": rate,
                    "total_input_tokens": INPUT * completed,
                    "total_output_tokens": OUTPUT * completed,
                    "mean_tpot_ms": tpot * 1e3,
                    "mean_ttft_ms": ttft * 1e3,
                    "median_ttft_ms": ttft * 1e3,
                }
            )
        )
        yield path


def answer(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Any:
    assert main([*words, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_a_fit_finds_the_step_times_and_can_be_pasted_into_a_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in sweep(tmp_path)]
    assert main(["fit", *files]) == 0
    head, *text = capsys.readouterr().out.splitlines()
    assert head.startswith("# 5 results, mean error 0.0%")
    indented = "\n".join(f"  {line}" for line in text)
    policy = load_policy(f"models:\n- name: m\n{indented}\npools:\n- name: p\n")
    profile = policy.models[0].profile
    assert profile is not None
    assert profile.decode_base_s == pytest.approx(BASE_S, rel=0.02)
    assert profile.decode_per_sequence_s == pytest.approx(SLOPE_S, rel=0.05)
    assert profile.prefill_per_token_s == pytest.approx(PREFILL_S, rel=0.05)


def test_more_rate_takes_more_replicas_and_costs_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("l4: 0.7\na100-80gb: 3.67\nh100-80gb: 10.0\n")
    words = ("recommend", "llama-3.1-8b", f"--prices={prices}")
    little = answer(capsys, *words, "--rate=2")["recommendations"]
    much = answer(capsys, *words, "--rate=40")["recommendations"]
    assert [each["costPerHour"] for each in much] == sorted(each["costPerHour"] for each in much)
    of = {each["profile"]: each for each in little}
    for each in much:
        assert each["replicas"] > of[each["profile"]]["replicas"]
        assert each["replicas"] * each["sustainableRps"] >= 40


def test_a_price_of_what_no_profile_has_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Left out in silence, it would read as if no price had been given."""
    prices = tmp_path / "prices.yaml"
    prices.write_text("h100-80gb: 10\nA100-80GB: 3.67\nb200: 12\n")
    assert main(["recommend", "llama-3.1-8b", "--rate=2", f"--prices={prices}", "--json"]) == 0
    told = capsys.readouterr()
    known = "(there are a100-80gb, h100-80gb, l4, tpu-v5e, tpu-v6e)"
    assert told.err.splitlines() == [
        f"loadstar profile recommend: {prices}: A100-80GB: no shipped profile is of it, "
        "did you mean a100-80gb?",
        f"loadstar profile recommend: {prices}: b200: no shipped profile is of it {known}",
    ]
    costs = [each["costPerHour"] for each in json.loads(told.out)["recommendations"]]
    assert costs[0] is not None
    assert set(costs[1:]) == {None}


def test_prices_that_are_no_yaml_are_named_with_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("l4: [0.7\n")
    assert main(["recommend", "llama-3.1-8b", "--rate=2", f"--prices={prices}"]) == 2
    assert f"{prices}: not YAML: line 2" in capsys.readouterr().err


def test_objectives_that_nothing_meets_are_no_recommendation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = answer(capsys, "recommend", "llama-3.1-8b", "--rate=2", "--slo-tpot=1ms", status=1)
    assert found["recommendations"] == []
    assert all("1 ms a token" in each["why"] for each in found["unfit"])


def test_every_shipped_profile_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show"]) == 0
    shown = capsys.readouterr().out
    rows = answer(capsys, "show")
    assert all(row["profile"] in shown and row["basis"] in shown for row in rows)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["recommend", "lama-3.1-8b", "--rate=2"], "did you mean llama-3.1-8b?"),
        (["recommend", "llama-3.1-8b", "--rate=0"], "must be more than 0"),
        (["recommend", "llama-3.1-8b", "--rate=inf"], "and at most 1e+09"),
        (["show", "--input-tokens=inf"], "and at most 1e+09"),
        (["recommend", "llama-3.1-8b", "--rate=2", "--slo-ttft=2"], "the unit is missing"),
        (["recommend", "llama-3.1-8b", "--rate=2", "--prefix-hit=2"], "--prefix-hit in 0..1"),
        (["show", "llama-3.1-8b/a100"], "llama-3.1-8b/a100-80gbx1"),
        (["fit", "/nowhere.json"], "/nowhere.json: No such file"),
    ],
)
def test_a_line_to_mend(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert says in capsys.readouterr().err
