"""``loadstar`` finds its commands by name, and says what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadstar.cli import main

ENDPOINTS = 'endpoints: [{name: a, address: 10.0.0.1, port: "8000"}]\n'
PICKER = """apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: queue-scorer}
- {type: file-discovery, parameters: {path: PATH}}
dataLayer: {discovery: {pluginRef: file-discovery}}
"""


@pytest.mark.parametrize(
    ("argv", "code", "shown"),
    [
        pytest.param([], 2, "usage: loadstar COMMAND", id="nothing"),
        pytest.param(["--help"], 0, "usage: loadstar COMMAND", id="help"),
        pytest.param(["--version"], 0, "loadstar 0.", id="version"),
        pytest.param(["gateway", "--help"], 0, "--grpc-port int", id="a service's own help"),
        pytest.param(["check", "--help"], 0, "usage: loadstar check", id="check's own help"),
        pytest.param(["gatway"], 2, "did you mean gateway?", id="unknown command"),
        pytest.param(["gateway", "--grpc-prt=1"], 2, "did you mean --grpc-port?", id="a bad flag"),
    ],
)
def test_commands(
    argv: list[str], code: int, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert shown in out + err


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "endpoints.yaml").write_text(ENDPOINTS)
    (tmp_path / "picker.yaml").write_text(PICKER.replace("PATH", str(tmp_path / "endpoints.yaml")))
    return tmp_path


def check(capsys: pytest.CaptureFixture[str], *names: Path) -> tuple[int, list[str]]:
    code = main(["check", *map(str, names)])
    return code, capsys.readouterr().out.splitlines()


def test_files_that_are_right(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picker, endpoints = files / "picker.yaml", files / "endpoints.yaml"
    assert check(capsys, picker, endpoints) == (
        0,
        [
            f"{picker}: {endpoints}: 1 endpoints",
            f"{picker}: ok",
            f"{endpoints}: 1 endpoints, ok",
        ],
    )


def test_a_file_that_is_wrong_says_where(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picker, endpoints = files / "picker.yaml", files / "endpoints.yaml"
    endpoints.write_text(ENDPOINTS.replace("10.0.0.1", "host"))
    code, lines = check(capsys, picker, endpoints)
    assert code == 1
    assert [line.partition(" must be")[0] for line in lines] == [
        f"{picker}: {endpoints}: endpoints[0].address:",
        f"{endpoints}: endpoints[0].address:",
    ]


def test_endpoints_on_another_machine_are_no_error(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "endpoints.yaml").unlink()
    code, lines = check(capsys, files / "picker.yaml")
    assert code == 0
    assert lines[0].endswith("endpoints.yaml: not checked: No such file or directory")


def test_a_file_that_is_not_there_is_an_error(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(capsys, files / "none.yaml") == (
        1,
        [f"{files / 'none.yaml'}: No such file or directory"],
    )
