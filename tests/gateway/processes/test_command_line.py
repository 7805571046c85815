"""What ``--workers`` may be, and with what."""

from __future__ import annotations

import os

import pytest

from gateway.config.command_line import parse
from gateway.processes.supervisor import worker_count
from loadstar.config.errors import ConfigError


def test_one_worker_is_the_default_and_none_is_one_per_core() -> None:
    assert worker_count(parse([])[0]) == 1
    assert worker_count(parse(["--workers=3"])[0]) == 3
    assert worker_count(parse(["--workers=0"])[0]) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        pytest.param(["--workers=-1"], "must be 0 (one per core) to 64", id="negative"),
        pytest.param(["--workers=65"], "must be 0 (one per core) to 64", id="too many"),
        pytest.param(
            ["--workers=2", "--transport=grpcio"], "needs --transport=wire", id="other transport"
        ),
    ],
)
def test_what_cannot_be_says_what_can(argv: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse(argv)
    assert problem in str(told.value)
