"""Where nothing can be built: the command and the tests say so, and CI does not skip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_GO = {
    "PATH": "",
    "PIP_NO_INDEX": "1",
    "PIP_CONFIG_FILE": "/dev/null",
    "PYTHONDONTWRITEBYTECODE": "1",
}
REASON = "no Go toolchain: install Go 1.26 or newer"

pytestmark = pytest.mark.skipif(
    Path(sys.executable).with_name("go").exists(), reason="this environment brings a Go of its own"
)


def run(module: str, *arguments: str, cache: Path, **environment: str) -> tuple[int, str]:
    """A module in a process that finds no Go, an empty cache, and no package index."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**WITHOUT_GO, "XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_says_how_to_get_go_and_leaves_nothing_half_built(tmp_path: Path) -> None:
    status, said = run("tests.controlplane.build", cache=tmp_path)
    assert status == 1
    assert REASON in said
    assert list((tmp_path / "loadstar" / "built").glob("*/")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "status", "summary"),
    [
        pytest.param({}, 0, "4 skipped", id="at home they are skipped"),
        pytest.param({"CI": "true"}, 1, "4 errors", id="in CI they fail"),
        pytest.param({"LOADSTAR_REQUIRE_CONTROLPLANE": "1"}, 1, "4 errors", id="when asked for"),
    ],
)
def test_tests_that_need_it(
    environment: dict[str, str], status: int, summary: str, tmp_path: Path
) -> None:
    tests = "tests/controlplane/test_away.py"
    found, said = run(
        "pytest", "-q", "-p", "no:cacheprovider", tests, cache=tmp_path, **environment
    )
    assert (found, summary in said, REASON in said) == (status, True, True)
