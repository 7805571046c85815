"""``python -m load_tests``: what it prints and how it fails, as a user meets it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from load_tests.__main__ import main
from load_tests.arrival_times import poisson, within
from load_tests.ports import free_ports
from load_tests.traces import BadTrace
from load_tests.workloads import NAMES, named

MANIFEST = Path(__file__).parents[2] / "manifests/envoy/standalone.yaml"


def test_envoy_config_prints_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envoy-config"]) == 0
    assert capsys.readouterr().out == MANIFEST.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "required", id="no command"),
        pytest.param(["compare", "--policies", "clever"], "invalid", id="no such policy"),
        pytest.param(["compare", "--profile", "Z80"], "invalid choice", id="no such accelerator"),
        pytest.param(
            ["drive", "--to", "h:1", "--workload", "chess"], "none of", id="no such workload"
        ),
        pytest.param(
            ["drive", "--to", "h:1", "--workload", "azure:/nowhere"], "No such file", id="no trace"
        ),
        pytest.param(["compare", "--config", "/nowhere"], "No such file", id="no configuration"),
        pytest.param(["drive", "--to", "nowhere"], "HOST:PORT", id="no port"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_driving_nobody_fails_and_still_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    out = tmp_path / "summary.json"
    arguments = ["--workload", "prefix-free", "--rate", "50", "--seconds", "0.5"]
    assert main(["drive", "--to", f"127.0.0.1:{port}", *arguments, "--json", str(out)]) == 1
    assert "ConnectionRefusedError" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report["successes"]["count"] == 0
    assert report["failures"]["count"] == report["load_summary"]["count"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_workload_by_name_makes_a_request_for_every_time(name: str) -> None:
    rng = random.Random(1)
    times = within(poisson(20, rng), 5)
    arrivals = named(name).arrivals(times, rng)
    assert [a.at_s for a in arrivals] == times
    assert all(a.prompt_tokens > 0 and a.output_tokens > 0 for a in arrivals)


def test_a_trace_by_path_gives_its_prompts_in_its_order(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
    )
    arrivals = named(f"azure:{trace}").arrivals([0.0, 1.0, 2.0], random.Random(1))
    assert [a.prompt_tokens for a in arrivals] == [374, 396, 374]


def test_an_empty_trace_is_no_workload(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n")
    with pytest.raises(BadTrace, match="no requests"):
        named(f"azure:{trace}")
