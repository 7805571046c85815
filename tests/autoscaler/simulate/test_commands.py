"""The command lines ``autoscaler simulate`` and ``backtest``, from files to figures."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from autoscaler.__main__ import main
from autoscaler.commands import backtest

POLICY = "models: [{name: m, maxReplicas: 20}]\npools: [{name: a}]\n"
PLANT = "pools: [{name: a, nodeLeadTime: 60s, podLeadTime: 60s}]\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "plant.yaml").write_text(PLANT)
    rows = [f"{600 + 60 * n},{20 + n},1100,200" for n in range(90)]
    (tmp_path / "d.csv").write_text("\n".join(["t_s,rate_rps,input_tokens,output_tokens", *rows]))
    return tmp_path


def simulate(files: Path, *more: str) -> int:
    words = ["--policy", "p.yaml", "--demand", "d.csv", "--plant", "plant.yaml"]
    given = [str(files / w) if w.endswith((".yaml", ".csv")) else w for w in words]
    return main(["simulate", *given, "--seed", "3", "--json", str(files / "out.json"), *more])


def test_ours_runs_by_default_and_twice_alike(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(files) == 0
    first = (files / "out.json").read_bytes()
    assert capsys.readouterr().out.startswith("predictive: ")
    assert simulate(files) == 0
    assert (files / "out.json").read_bytes() == first
    report = orjson.loads(first)
    assert report["minutes"][0]["t_s"] == 600
    assert report["calls"]
    assert all(call["t_s"] >= 600 for call in report["calls"])


def test_files_that_are_pipes_give_the_same_answer(files: Path) -> None:
    """As a shell's ``<(...)`` is one: each can be read once, and from front to back."""
    assert simulate(files) == 0
    first = (files / "out.json").read_bytes()
    with ThreadPoolExecutor() as writers:
        for name in ("p.yaml", "plant.yaml", "d.csv"):
            path = files / name
            text = path.read_text()
            path.unlink()
            os.mkfifo(path)
            writers.submit(path.write_text, text)
        assert simulate(files) == 0
    assert (files / "out.json").read_bytes() == first


def test_a_rival_runs_by_name_or_alias(files: Path) -> None:
    assert simulate(files, "--controller", "wva-v2", "--knob", "0.2") == 0
    assert orjson.loads((files / "out.json").read_bytes())["controller"] == "wva"


def test_a_history_is_known_to_ours_and_to_no_rival(files: Path) -> None:
    """A day that jumps at its 30th minute, then the same minutes again."""
    rows = [f"{60 * n},{20 if n % 60 < 30 else 60}" for n in range(60 * 48)]
    (files / "old.csv").write_text("\n".join(["t_s,rate_rps", *rows]))
    for name, differs in (("predictive", True), ("react", False)):
        documents = []
        for more in ([], ["--history", str(files / "old.csv")]):
            assert simulate(files, "--controller", name, *more) == 0
            documents.append((files / "out.json").read_bytes())
        assert (documents[0] != documents[1]) is differs


def test_an_unknown_controller_is_refused_with_a_hint(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        simulate(files, "--controller", "hpa-rat")
    assert "no controller 'hpa-rat', did you mean hpa-rate?" in capsys.readouterr().err


def test_advisory_means_that_nothing_is_called(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "p.yaml").write_text("mode: advisory\n" + POLICY)
    assert simulate(files) == 0
    assert "mode is advisory: nothing was called" in capsys.readouterr().out
    report = orjson.loads((files / "out.json").read_bytes())
    assert (report["calls"], report["actions"]) == ([], 0)
    assert simulate(files, "--active") == 0
    assert orjson.loads((files / "out.json").read_bytes())["calls"] != []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("d.csv", b"t_s,rate_rps\n0,2 \xb5\n", "d.csv: not UTF-8: invalid start byte; save it as"),
        ("d.csv", "t_s,rate_rps\n0,2\n".encode("utf-16"), "d.csv: not UTF-8: invalid start byte;"),
        ("d.csv", None, "d.csv: No such file or directory\n"),
        ("p.yaml", "models: []\npools: [{name: a}]", "p.yaml: models: must not be empty"),
        ("plant.yaml", "pools: [{name: a, prise: 3}]", "plant.yaml: pools[0].prise: unknown key"),
        ("d.csv", "t_s,rate_rps\n0,x\n", "d.csv:2: rate_rps is 'x', not a number"),
    ],
)
def test_an_unusable_file_is_named_with_its_place(
    files: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str | bytes | None,
    problem: str,
) -> None:
    (files / name).unlink()
    if text is not None:
        (files / name).write_bytes(text.encode() if isinstance(text, str) else text)
    assert simulate(files) == 2
    assert f"{files}/{problem}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--controller", "hpa-rate", "--knob", "0"], "hpa-rate needs a number above 0, not 0"),
        (["--controller", "kpa", "--knob", "nan"], "kpa needs a number above 0, not nan"),
        (["--controller", "react", "--knob", "-1"], "react needs a number above -1, not -1"),
        (["--knob", "2"], "predictive has none; its knobs are the policy's"),
    ],
)
def test_a_knob_that_no_controller_can_have_is_refused(
    files: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    assert simulate(files, *words) == 2
    assert f"--knob: {problem}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--seed", "-1"], "--seed: '-1' is not a whole number of 0 or more"),
        (["--input-tokens", "nan"], "--input-tokens: 'nan' is not a number above 0"),
        (["--json", "/nowhere/out.json"], "--json: /nowhere is no folder; make it first"),
        (["--json", "/"], "--json: / is a folder; name a file in it"),
    ],
)
def test_a_word_that_cannot_be_is_refused(
    files: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        simulate(files, *words)
    assert stopped.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_problem_in_a_config_map_is_named_with_its_key(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = "".join(
        f"    {line}\n" for line in "models: [{name: m}]\npools: [{nam: a}]".splitlines()
    )
    (files / "p.yaml").write_text(f"kind: ConfigMap\ndata:\n  autoscaler.yaml: |\n{inner}")
    assert simulate(files) == 2
    assert "p.yaml: data[autoscaler.yaml].pools[0].nam: unknown key" in capsys.readouterr().err


def test_a_fleet_of_which_nothing_is_said_begins_within_the_budget(files: Path) -> None:
    """The load wants five replicas at once; the budget pays for two."""
    policy = POLICY.replace("{name: a}", "{name: a, pricePerUnitHour: 3}")
    (files / "p.yaml").write_text("budgetPerHour: 7\n" + policy)
    assert simulate(files) == 0
    minutes = orjson.loads((files / "out.json").read_bytes())["minutes"]
    assert minutes[0]["replicas_ready"] == 2
    assert max(minute["cost"] for minute in minutes) * 60 <= 7


def test_a_backtest_prints_a_line_a_controller(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(files / "d.csv"), "--policy", str(files / "p.yaml"), "--peak-replicas", "6"]
    assert backtest.main([*words, "--controllers", "hpa-rate,react,oracle"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == [
        "controller", "knob", "late", "bad", "min", "GPU-h", "cost", "x", "oracle", "flaps/day",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[3:]] == ["hpa-rate", "react", "oracle"]
    assert lines[-1].split()[-2] == "1.00"


@pytest.mark.parametrize("held", ["mode: advisory", "mode: off", "safety: {killSwitch: true}"])
def test_a_backtest_judges_what_a_policy_would_do_though_it_may_not(files: Path, held: str) -> None:
    words = [str(files / "d.csv"), "--policy", str(files / "p.yaml")]
    documents = []
    for first in ("mode: active", held):
        (files / "p.yaml").write_text(f"{first}\n{POLICY}")
        out = str(files / "report.json")
        assert backtest.main([*words, "--controllers", "predictive", "--json", out]) == 0
        documents.append(Path(out).read_bytes())
    assert documents[0] == documents[1]


@pytest.mark.slow
def test_a_backtest_draws_a_page(files: Path) -> None:
    page = files / "page.html"
    words = [str(files / "d.csv"), "--policy", str(files / "p.yaml"), "--html", str(page)]
    assert backtest.main([*words, "--controllers", "predictive,oracle"]) == 0
    assert page.read_text().count("<img src='data:image/png") == 3
