"""``loadstar`` finds its commands by name, and says what it does not know."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from loadstar.cli import READER_GONE, main


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


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(buffered: str) -> None:
    """As of ``loadstar explain MODEL | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "loadstar.cli", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": buffered},
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (READER_GONE, b"")
