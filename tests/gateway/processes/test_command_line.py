"""What ``--workers`` may be, and with what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.command_line import MAX_WORKERS, parse
from gateway.processes.cores import (
    bodies_bytes,
    quota_cores,
    usable_cores,
    worker_count,
    workers_in_memory,
)
from loadstar.config.errors import ConfigError


def test_one_worker_per_usable_core_is_the_default() -> None:
    cores = min(usable_cores(), workers_in_memory() or MAX_WORKERS, MAX_WORKERS)
    assert worker_count(parse([])[0]) == cores
    assert worker_count(parse(["--workers=0"])[0]) == cores
    assert worker_count(parse(["--workers=3"])[0]) == 3


def test_grpcs_library_is_hosted_by_one_process_unless_told_otherwise() -> None:
    assert worker_count(parse(["--transport=grpcio"])[0]) == 1


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, None, id="no cgroup that we know"),
        pytest.param({"cpu.max": "max 100000\n"}, None, id="v2, no quota"),
        pytest.param({"cpu.max": "250000 100000\n"}, 2.5, id="v2, two and a half"),
        pytest.param({"cpu.max": "who knows"}, None, id="v2, not understood"),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
            id="v1, no quota",
        ),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            4.0,
            id="v1, four",
        ),
    ],
)
def test_a_containers_quota_counts(
    tmp_path: Path, files: dict[str, str], cores: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota_cores(tmp_path) == cores


def test_half_a_core_is_still_one_process(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert usable_cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("files", "workers"),
    [
        pytest.param({}, None, id="no limit that we know"),
        pytest.param({"memory.max": "max\n"}, None, id="v2, no limit"),
        pytest.param({"memory.max": f"{2 << 30}\n"}, 6, id="v2, two gigabytes"),
        pytest.param({"memory.max": f"{256 << 20}\n"}, 1, id="v2, too little for any"),
        pytest.param({"memory/memory.limit_in_bytes": f"{1 << 30}\n"}, 2, id="v1, one gigabyte"),
    ],
)
def test_a_containers_memory_counts(
    tmp_path: Path, files: dict[str, str], workers: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert workers_in_memory(tmp_path) == workers


@pytest.mark.parametrize(
    ("limit", "workers", "mebibytes"),
    [
        pytest.param("max", 4, 512, id="no limit: eight of the longest"),
        pytest.param(str(2 << 30), 1, 256, id="an eighth of it"),
        pytest.param(str(2 << 30), 2, 128, id="shared"),
        pytest.param(str(2 << 30), 6, 64, id="never less than the longest"),
    ],
)
def test_bodies_may_take_a_part_of_the_memory(
    tmp_path: Path, limit: str, workers: int, mebibytes: int
) -> None:
    (tmp_path / "memory.max").write_text(limit)
    assert bodies_bytes(parse([])[0], workers, tmp_path) == mebibytes << 20


def test_many_cores_with_little_memory_are_one_process(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(str(512 << 20))
    assert worker_count(parse([])[0], tmp_path) == 1


def test_no_quota_leaves_every_core_that_the_affinity_allows(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == len(os.sched_getaffinity(0))


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
